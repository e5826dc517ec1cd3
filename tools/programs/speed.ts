/** Commands that measure speed. */
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { choice, headerText, httpUrl, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';

const bench = 'Benchmark';

export const BENCH = {
  command: 'npm run bench --',
  arguments: ['<part>'],
  summary:
    "Measures first token, time per token, the edge's share, embedding look-ups, cached replies and limits on the embedded model.",
  details: `  edge      embedding look-ups, cached replies and limits alone
  loading   what comparing a bundle's files with their digests adds to loading it
  balancer  what HAProxy, as infra/ configures it, adds to each token; it has to be installed
Without a part: everything but loading and balancer.`,
  options: {
    rounds: option({
      flag: 'rounds',
      kind: wholeNumber(1, 100_000),
      default: 20,
      group: bench,
      help: 'images per row; loads of loading',
    }),
    peer: option({
      flag: 'peer',
      kind: toggle(),
      default: false,
      group: bench,
      help: 'side by side with transformers in bf16 instead, as many threads for each',
    }),
    python: option({
      env: 'PYTHON',
      kind: text('PROGRAM'),
      default: 'python3',
      group: bench,
      help: 'interpreter that has what training/pyproject.toml lists, for --peer',
    }),
    ...MODEL_OPTIONS,
    checkpoint: { ...MODEL_OPTIONS.checkpoint, flag: 'checkpoint' },
  },
  family: WORKER_OPTIONS,
};

const load = 'Load';

export const LOAD = {
  command: 'npm run load --',
  summary:
    'Sends a mix of requests when they are due, whatever has become of earlier ones. Prints latencies by kind, failures, time between tokens while images arrive, what a light caller gets beside a greedy one, and whether memory grows.',
  options: {
    url: option({
      flag: 'url',
      kind: httpUrl(),
      defaultText: 'one of its own',
      group: load,
      help: 'an API that already runs; the memory of its processes is not seen',
    }),
    rate: option({
      flag: 'rate',
      kind: wholeNumber(1, 10_000),
      default: 20,
      group: load,
      help: 'requests of the mix a second',
    }),
    minutes: option({
      flag: 'minutes',
      kind: wholeNumber(1, 10_000),
      default: 10,
      group: load,
      help: 'how long the mix lasts',
    }),
    seconds: option({
      flag: 'seconds',
      kind: wholeNumber(1, 600_000),
      group: load,
      help: 'the same in seconds, in place of --minutes',
    }),
    arrivals: option({
      flag: 'arrivals',
      kind: choice('poisson', 'fixed'),
      default: 'poisson',
      group: load,
      help: 'as independent callers come, or at equal intervals',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      default: 1,
      group: load,
      help: 'what the order of the requests and the new images are drawn from',
    }),
    callerHeader: option({
      flag: 'caller-header',
      kind: headerText('NAME'),
      default: 'cf-connecting-ip',
      group: load,
      help: "header from which the API takes a caller's address, so that several can be played",
    }),
    fill: option({
      flag: 'fill',
      kind: toggle(),
      default: false,
      group: load,
      help: 'fill the caches first, with 14,000 new images and questions, so that memory that grows afterwards has no end',
    }),
    capacity: option({
      flag: 'capacity',
      kind: wholeNumber(1, 60_000, 'MS'),
      group: load,
      help: 'find the highest rate, from --rate on, at which nothing fails and the p99 stays within this instead',
    }),
    json: option({
      flag: 'json',
      kind: toggle(),
      default: false,
      group: load,
      help: 'print the report as JSON',
    }),
    ...MODEL_OPTIONS,
  },
  family: WORKER_OPTIONS,
};
