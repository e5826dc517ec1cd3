/** Commands that serve: options of what is started, and the keys of those who are let in. */
import { LOG_LEVEL, TRACE, WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { SCOPES } from '@blip2/shared/api-key';
import { choices, tenantName, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import { EDGE_OPTIONS, LIMIT_OPTIONS } from '../../edge/src/config.ts';

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
    storage: option({
      flag: 'storage',
      kind: text('FOLDER'),
      default: '.wrangler/state',
      group: 'Edge',
      help: 'folder of what is stored: caches, keys, files, jobs and their queue. One process at a time has it',
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
