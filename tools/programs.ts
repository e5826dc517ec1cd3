/** The commands of this repository: what each is for, and its options. */
import { LOG_LEVEL, TRACE, WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { SCOPES } from '@blip2/shared/api-key';
import {
  choice,
  choices,
  headerText,
  httpUrl,
  list,
  share,
  tenantName,
  text,
  toggle,
  wholeNumber,
} from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import { EDGE_OPTIONS, LIMIT_OPTIONS } from '../edge/src/config.ts';
import { SETTINGS } from '../infra/src/settings.ts';
import { FULL_SIZES } from './synthetic-checkpoints/checkpoints.ts';

/** The edge's own; on this machine there are none unless they are set. */
const LOCAL_LIMITS = Object.fromEntries(
  Object.entries(LIMIT_OPTIONS).map(([name, each]) => [
    name,
    { ...each, default: null, defaultText: 'none', group: 'Edge' },
  ]),
) as typeof LIMIT_OPTIONS;

export const START = {
  command: 'npm start --',
  summary: 'Starts the edge (workerd, local KV) and the GPU worker on this machine.',
  options: {
    host: option({
      env: 'HOST',
      flag: 'host',
      kind: text('ADDRESS'),
      default: '127.0.0.1',
      group: 'Edge',
      help: 'address of the edge: 0.0.0.0 in a container or for other machines (see --require-key)',
    }),
    port: option({
      env: 'PORT',
      flag: 'port',
      kind: wholeNumber(0, 65_535, 'PORT'),
      default: 8787,
      group: 'Edge',
      help: 'port of the edge; 0 takes a free one',
    }),
    requireKey: option({
      flag: 'require-key',
      kind: toggle(),
      default: false,
      group: 'Edge',
      help: 'let in only who has a key of `npm run keys`',
    }),
    clientAddressHeader: option({
      env: 'CLIENT_ADDRESS_HEADER',
      kind: EDGE_OPTIONS.clientAddressHeader.kind,
      defaultText: 'none',
      group: 'Edge',
      help: 'header in which a proxy in front of the edge writes the address of the caller; without one, all are one caller',
    }),
    clientAddressHops: option({
      env: 'CLIENT_ADDRESS_HOPS',
      kind: EDGE_OPTIONS.clientAddressHops.kind,
      default: EDGE_OPTIONS.clientAddressHops.default,
      group: 'Edge',
      help: EDGE_OPTIONS.clientAddressHops.help,
    }),
    allowPrivateImageUrls: EDGE_OPTIONS.allowPrivateImageUrls,
    ...LOCAL_LIMITS,
    workers: option({
      flag: 'workers',
      kind: wholeNumber(1, 16),
      default: 1,
      group: 'Edge',
      help: 'GPU workers, which share the cores of this machine; requests about one image go to one of them',
    }),
    noJobs: option({
      flag: 'no-jobs',
      kind: toggle(),
      default: false,
      group: 'Edge',
      help: 'run no jobs, and no queue for them',
    }),
    trace: TRACE,
    logLevel: option({
      env: 'BLIP2_LOG_LEVEL',
      kind: LOG_LEVEL.kind,
      defaultText: 'warn, info with --verbose',
      group: LOG_LEVEL.group,
      help: 'least level of what the GPU worker logs',
    }),
    verbose: option({
      flag: 'verbose',
      kind: toggle(),
      default: false,
      group: LOG_LEVEL.group,
      help: 'show what edge and GPU worker log',
    }),
    ...MODEL_OPTIONS,
  },
  family: WORKER_OPTIONS,
};

export const DEMO = {
  command: 'npm run demo --',
  summary: 'Starts the service and asks it about some test scenes, streamed to the terminal.',
  options: MODEL_OPTIONS,
  family: WORKER_OPTIONS,
};

const measuring = 'Evaluation';

/** Test scenes drawn by artists whose sprites the embedded model learned from, and by some that it never saw. */
const SCENE_SETS = ['known', 'validation'] as const;
export type SceneSet = (typeof SCENE_SETS)[number];

/** Public data sets on which BLIP-2's authors report results. */
const DATASETS = ['coco', 'nocaps', 'vqav2', 'okvqa', 'gqa', 'flickr30k'] as const;
export type Dataset = (typeof DATASETS)[number];

const publicData = 'Public data sets';

export const EVAL = {
  command: 'npm run eval --',
  summary:
    'Sends every test scene to the API: its caption, then each of its questions by the hash of its bytes, then some of them again as a conversation. Prints exact-match accuracy by layout, question type, earlier turns and artist. With --dataset, a public data set instead, by its own metrics and beside the results of the paper.',
  options: {
    dataset: option({
      flag: 'dataset',
      kind: choice(...DATASETS),
      defaultText: 'the test scenes',
      group: publicData,
      help: 'what to evaluate on; docs/evaluation.md says which files of it are needed',
    }),
    data: option({
      flag: 'data',
      kind: text('FOLDER'),
      group: publicData,
      help: 'where the data set is',
    }),
    task: option({
      flag: 'task',
      kind: choice('captions', 'retrieval'),
      defaultText: 'captions',
      group: publicData,
      help: 'what to do with coco: caption its images, or find captions and images by one another',
    }),
    prompt: option({
      flag: 'prompt',
      kind: text('TEXT'),
      defaultText: "the paper's",
      group: publicData,
      help: 'what captions continue, or "none"; or a template for questions, which are put where it has {}',
    }),
    concurrency: option({
      flag: 'concurrency',
      kind: wholeNumber(1, 64),
      default: 4,
      group: publicData,
      help: 'requests under way at a time',
    }),
    replies: option({
      flag: 'replies',
      kind: text('FOLDER'),
      defaultText: "the data set's",
      group: publicData,
      help: 'where replies are stored, so that an evaluation that was ended goes on where it was',
    }),
    url: option({
      flag: 'url',
      kind: httpUrl(),
      defaultText: 'one of its own',
      group: measuring,
      help: 'an API that already runs',
    }),
    limit: option({
      flag: 'limit',
      kind: wholeNumber(1, 1_000_000),
      defaultText: 'all',
      group: measuring,
      help: 'how many scenes, images or questions, spread over all of them',
    }),
    artists: option({
      flag: 'artists',
      kind: choices(...SCENE_SETS),
      default: ['known'] as const,
      group: measuring,
      help: 'scenes by the artists that the embedded model learned from, or by some that it never saw',
    }),
    outside: option({
      flag: 'outside',
      kind: text('FOLDER'),
      defaultText: 'none',
      group: measuring,
      help: 'how many of these images, which are no scenes, and of the test scenes the model warns about as outside of its training, instead of what is right; folders in it are kinds',
    }),
    failures: option({
      flag: 'failures',
      kind: toggle(),
      default: false,
      group: measuring,
      help: 'print what was answered wrong',
    }),
    precisions: option({
      flag: 'precision',
      kind: choices('fp32', 'int8', 'int4'),
      group: measuring,
      help: 'serve the model in each of these, one after another, and compare them; then each with fp32 on the random checkpoints of the parity tests',
    }),
    ...MODEL_OPTIONS,
    checkpoint: { ...MODEL_OPTIONS.checkpoint, flag: 'checkpoint' },
    retrievalCheckpoint: { ...MODEL_OPTIONS.retrievalCheckpoint, flag: 'retrieval-checkpoint' },
  },
  family: WORKER_OPTIONS,
};

const bench = 'Benchmark';

export const BENCH = {
  command: 'npm run bench --',
  arguments: ['<part>'],
  summary:
    "Measures first token, time per token, the edge's share, embedding look-ups, cached replies and limits on the embedded model.",
  details: `  edge      embedding look-ups, cached replies and limits alone
  loading   what comparing a bundle's files with their digests adds to loading it
Without a part: everything but loading.`,
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

/** What `npm run fuzz` gives inputs to: tools/fuzz/targets.ts has a target of each of these names. */
const FUZZ_TARGETS = [
  'frames',
  'embedding-values',
  'command-line',
  'configs',
  'tokenizers',
  'weights',
  'api',
  'worker',
  'images',
  'kv',
  'jobs',
  'raw-http',
] as const;

const fuzzing = 'Fuzzing';

export const FUZZ = {
  command: 'npm run fuzz --',
  summary:
    'Gives made-up inputs to everything that reads bytes from outside, keeps those that do harm below test/fuzz/corpus/, and ends with 1 where there are any.',
  options: {
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 31 - 1),
      defaultText: 'a random one, which is printed',
      group: fuzzing,
      help: 'the same seed, targets and number of cases give the same inputs',
    }),
    cases: option({
      flag: 'cases',
      kind: wholeNumber(1, 100_000_000),
      default: 50_000,
      group: fuzzing,
      help: 'inputs of all targets together',
    }),
    minutes: option({
      flag: 'minutes',
      kind: wholeNumber(1, 100_000),
      defaultText: 'as long as it takes',
      group: fuzzing,
      help: 'time after which no further inputs are made',
    }),
    only: option({
      flag: 'only',
      kind: choices(...FUZZ_TARGETS),
      group: fuzzing,
      help: 'these targets',
    }),
    replay: option({
      flag: 'replay',
      kind: text('PATH'),
      group: fuzzing,
      help: 'run stored inputs, of one file or of a folder, instead of new ones',
    }),
    verbose: option({
      flag: 'verbose',
      kind: toggle(),
      default: false,
      group: fuzzing,
      help: 'show what edge and GPU worker log',
    }),
  },
};

const breaking = 'Chaos';

export const CHAOS = {
  command: 'npm run chaos --',
  summary:
    'Breaks the service on purpose (kills, stops, slow and cut connections, damaged files, overload) while callers use it; prints what they saw, and ends with 1 when work was lost, a slot stayed taken, an answer was wrong, or it did not recover.',
  options: {
    only: option({
      flag: 'only',
      kind: list('NAME'),
      defaultText: 'all',
      group: breaking,
      help: 'scenarios by name, with commas between them',
    }),
    list: option({
      flag: 'list',
      kind: toggle(),
      default: false,
      group: breaking,
      help: 'print the names of all scenarios, and what they do',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      defaultText: 'one by chance, which is printed',
      group: breaking,
      help: 'decides the moments of faults and the order of calls',
    }),
  },
};

const proving = 'Proof';

export const PROVE_JOBS = {
  command: 'npm run prove-jobs --',
  summary:
    'Proves that every item of a job has exactly one result, whatever is killed, lost or doubled, and measures what a running job costs those who ask; ends with 1 when anything does not add up.',
  options: {
    items: option({
      flag: 'items',
      kind: wholeNumber(8, 4_000_000),
      defaultText: '2000, with --million 1000000',
      group: proving,
      help: 'items of the job; a quarter as many of the one that is canceled',
    }),
    million: option({
      flag: 'million',
      kind: toggle(),
      default: false,
      group: proving,
      help: 'in place of all else, as many items as one job may have, with a stand-in for the GPU worker: rates and memory',
    }),
    interactive: option({
      flag: 'interactive',
      kind: toggle(),
      default: false,
      group: proving,
      help: 'only measure what a running job costs those who ask',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      defaultText: 'one by chance, which is printed',
      group: proving,
      help: 'decides images, poison, and the moments of faults',
    }),
  },
};

export const SCREENSHOT = {
  command: 'npm run screenshot --',
  summary: 'Takes the image of the page in the README from the running service.',
  options: {
    chromium: option({
      env: 'CHROMIUM_PATH',
      kind: text('PROGRAM'),
      default: '/usr/bin/chromium',
      group: 'Browser',
      help: 'the browser',
    }),
    ...MODEL_OPTIONS,
  },
  family: WORKER_OPTIONS,
};

export const SYNTHETIC_CHECKPOINT = {
  command: 'npm run synthetic-checkpoint --',
  arguments: ['<name>'],
  summary:
    'Writes a checkpoint with the names and shapes of a published one and random bf16 weights, to measure with.',
  details: `Names: ${Object.keys(FULL_SIZES).join(', ')}.

Then:  npm run model -- build .models/random-opt-2.7b
       BLIP2_CHECKPOINT=.models/random-opt-2.7b npm start`,
  options: {
    out: option({
      flag: 'out',
      kind: text('FOLDER'),
      defaultText: '.models/random-<name>',
      group: 'Output',
      help: 'where to; 2 to 25 GB',
    }),
  },
};

const supply = 'Supply chain';

const keys = 'Keys';

/** A limit that a new key has in place of that of all keys. */
function keyLimit(flag: string, { env, kind }: (typeof LIMIT_OPTIONS)['openStreams']) {
  const help = `limit of a new key in place of ${env}`;
  return option({ flag, kind, defaultText: 'as all keys', group: keys, help });
}

export const KEYS = {
  command: 'npm run keys --',
  arguments: ['<command>', '<argument>'],
  summary: 'Makes, lists and revokes the keys of the API. Prints JSON.',
  details: `  create <name>   makes a key and prints it, this once: only its hash is stored
  list            prints what is stored of each key, and the id by which it is revoked
  revoke <id>     deletes a key; it may work for a minute or two more
  usage           says how to read what a key has used: GET /v1/usage with the key, since only the deployment can read it`,
  options: {
    remote: option({
      flag: 'remote',
      kind: toggle(),
      default: false,
      group: keys,
      help: "the keys of the deployment that wrangler.toml describes, rather than those of npm start's local storage",
    }),
    scopes: option({
      flag: 'scopes',
      kind: choices(...SCOPES),
      defaultText: 'all',
      group: keys,
      help: 'families of routes that a new key is good for',
    }),
    days: option({
      flag: 'days',
      kind: wholeNumber(1, 3650),
      defaultText: 'never',
      group: keys,
      help: 'days after which a new key expires',
    }),
    requestsPerMinute: keyLimit('requests-per-minute', LIMIT_OPTIONS.requestsPerMinute),
    tokensPerMinute: keyLimit('tokens-per-minute', LIMIT_OPTIONS.tokensPerMinute),
    imagesPerDay: keyLimit('images-per-day', LIMIT_OPTIONS.imagesPerDay),
    openStreams: keyLimit('open-streams', LIMIT_OPTIONS.openStreams),
    namespace: option({
      flag: 'namespace',
      kind: tenantName(),
      defaultText: 'shared',
      group: keys,
      help: 'tenant of a new key: those of one tenant share a cache, and nobody else finds out what is in it',
    }),
    storage: option({
      flag: 'storage',
      kind: text('FOLDER'),
      default: '.wrangler/state',
      group: keys,
      help: 'folder of the local storage',
    }),
  },
};

export const SBOM = {
  command: 'npm run sbom --',
  summary:
    'Prints a bill of materials (CycloneDX): every package, on all platforms, and what is compiled into libvips.',
  options: {
    part: option({
      flag: 'part',
      kind: choice('worker', 'edge', 'dev'),
      default: 'worker',
      group: supply,
      help: 'of the GPU worker, of the edge, or of tools, tests and the local edge',
    }),
    out: option({
      flag: 'out',
      kind: text('FILE'),
      defaultText: 'printed',
      group: supply,
      help: 'where to',
    }),
  },
};

export const LICENSES = {
  command: 'npm run licenses --',
  summary:
    'Prints the license of every package and library, and ends with 1 where one is not allowed (tools/supply-chain/license-policy.ts).',
  options: {
    part: option({
      flag: 'part',
      kind: choice('worker', 'edge', 'dev'),
      defaultText: 'all',
      group: supply,
      help: 'of the GPU worker, of the edge, or of tools, tests and the local edge',
    }),
    write: option({
      flag: 'write',
      kind: toggle(),
      default: false,
      group: supply,
      help: 'bring the list in NOTICE up to date',
    }),
  },
};

export const DOCS = {
  command: 'npm run docs --',
  summary: 'Writes the pages of docs/ that are made from declarations in the code.',
  options: {},
};

export const LAYERS = {
  command: 'npm run layers --',
  summary:
    'Names each import that does not go down; tools/layers/layers.ts says what is below what.',
  options: {},
};

export const PREPARE_EDGE = {
  command: 'npm run node -- tools/prepare-edge.ts',
  summary:
    "Writes the model's numbers and tokenizers into edge/generated, as npm run deploy bundles them with the Worker.",
  options: MODEL_OPTIONS,
  family: WORKER_OPTIONS,
};

export const INFRA = {
  command: 'npm run infra --',
  arguments: ['<part>'],
  summary: 'Prints what a deployment consists of, as it is in infra/ with other settings.',
  details: `  kubernetes   manifests, for "kubectl apply -f -"
  haproxy      configuration of the balancer within a cluster
  alerts       rules for Prometheus
  dashboard    dashboard for Grafana
  cdk          queues and workers on AWS: synthesizes the stack, prints the folder (docs/deploy.md)
  write        writes all of them into infra/, as they are committed; takes no settings`,
  options: SETTINGS,
};
