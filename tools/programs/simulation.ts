/** Command that plays a fleet of GPU workers through. */
import { share, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';

const simulating = 'Simulation';

export const SIMULATE = {
  command: 'npm run simulate --',
  arguments: ['<part>'],
  summary:
    'Simulates a fleet of GPU workers behind the edge, event by event: times to first token, cache hits, GPUs that are needed.',
  details: `  measure    measures the service times of a worker on this machine, and writes them to --times
  validate   runs one, two and three real workers under the same requests as their simulation, and compares
  plan       GPUs by requests a second and share of cached images, up to a thousand; loss of spot machines; scaling
Without a part: one fleet, as the options describe it. docs/fleet.md says what is simulated, and how true it is.`,
  options: {
    times: option({
      flag: 'times',
      kind: text('FILE'),
      defaultText: 'tools/simulate/measured.json, and "assumed" where there is none',
      group: simulating,
      help: 'service times that were measured; "assumed" are those of a GPU that nobody measured here',
    }),
    workers: option({
      flag: 'workers',
      kind: wholeNumber(1, 10_000),
      default: 10,
      group: simulating,
      help: 'GPU workers at the beginning',
    }),
    clusters: option({
      flag: 'clusters',
      kind: wholeNumber(1, 16),
      defaultText: 'each worker by itself, at most 16',
      group: simulating,
      help: 'addresses in GPU_WORKER_URLS: balancers that have the workers behind them',
    }),
    slots: option({
      flag: 'slots',
      kind: wholeNumber(1, 256),
      default: 16,
      group: simulating,
      help: 'BLIP2_MAX_SLOTS of each worker',
    }),
    rate: option({
      flag: 'rate',
      kind: wholeNumber(1, 1_000_000),
      default: 50,
      group: simulating,
      help: 'requests a second',
    }),
    seconds: option({
      flag: 'seconds',
      kind: wholeNumber(1, 1_000_000),
      default: 120,
      group: simulating,
      help: 'how long they come; of validate, for each number of workers',
    }),
    tokens: option({
      flag: 'tokens',
      kind: wholeNumber(1, 10_000),
      default: 20,
      group: simulating,
      help: 'tokens of each reply',
    }),
    images: option({
      flag: 'images',
      kind: wholeNumber(1, 10_000_000),
      default: 100_000,
      group: simulating,
      help: 'images that are asked about again and again',
    }),
    skew: option({
      flag: 'skew-percent',
      kind: wholeNumber(0, 300),
      default: 100,
      group: simulating,
      help: 'exponent of their popularity (Zipf) in hundredths: 0 are equally popular, 100 as words of a language',
    }),
    cached: option({
      flag: 'cached',
      kind: wholeNumber(0, 10_000_000),
      default: 50_000,
      group: simulating,
      help: 'images whose embeddings the edge has room for',
    }),
    fresh: option({
      flag: 'fresh',
      kind: share(),
      default: 0.1,
      group: simulating,
      help: 'share of requests about an image that nobody has sent before',
    }),
    most: option({
      flag: 'most',
      kind: wholeNumber(1, 10_000),
      defaultText: 'as at the beginning',
      group: simulating,
      help: 'workers that scaling out may come to: as many as have --slots requests each',
    }),
    delay: option({
      flag: 'delay',
      kind: wholeNumber(0, 86_400, 'S'),
      default: 180,
      group: simulating,
      help: 'seconds until a new worker takes requests',
    }),
    spotHours: option({
      flag: 'spot-hours',
      kind: wholeNumber(1, 100_000),
      defaultText: 'for ever',
      group: simulating,
      help: 'mean hours until the machine of a worker is taken away; another takes its place after --delay',
    }),
    plots: option({
      flag: 'plots',
      kind: text('FOLDER'),
      defaultText: 'none',
      group: simulating,
      help: 'where plan and validate draw what they print, as PNG',
    }),
    validationRate: option({
      flag: 'validation-rate',
      kind: wholeNumber(1, 1000),
      default: 8,
      group: simulating,
      help: 'requests a second of validate',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      default: 1,
      group: simulating,
      help: 'what everything is drawn from that is left to chance',
    }),
    json: option({
      flag: 'json',
      kind: toggle(),
      default: false,
      group: simulating,
      help: 'print the result as JSON',
    }),
  },
};
