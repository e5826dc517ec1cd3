/**
 * Serves a bundled Worker from workerd itself, with the local KV, R2, Durable Objects … that its `wrangler.toml` names.
 *
 * Requests go straight to the Worker's own socket: neither wrangler's development proxy nor miniflare's entry is on
 * the way, so that what is measured here is the Worker. Headers that Cloudflare adds (`cf-connecting-ip`) and
 * `request.cf` are therefore absent.
 */
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Json, Log, Miniflare, WorkerdStructuredLog } from 'miniflare';
import { QUIET_WRANGLER, type WorkerBundle } from './build-worker.ts';
import { EXPIRING_WORKER, expireEntries } from './expire-entries.ts';
import { type HostNetwork, serviceOf } from './host-network/host-network.ts';
import { startNetworkThread } from './host-network/network-thread.ts';
import { type LogLine, RepeatedLines } from './repeated-lines.ts';

export type ServeOptions = {
  /** Path of the `wrangler.toml` whose bindings the Worker gets. */
  config: string;
  /** Address to listen on: this machine alone by default. */
  host?: string;
  /** Port on this machine; 0 is any free one. */
  port?: number;
  /** Variables that differ from the configured ones. */
  vars?: Record<string, string>;
  /** Bindings whose `fetch` is for hosts of which nothing is known, by the variables of the Worker; its own connects to any address. */
  networks?: (
    variables: Readonly<Record<string, unknown>>,
  ) => Readonly<Record<string, NetworkOptions>>;
  /** Folder of the local storage, the one of `wrangler dev --persist-to`; false stores nothing beyond the end. */
  persist?: string | false;
  /** Serves the Worker's buckets by the protocol of S3 too, below `S3_PATH` and their names: at a port of its own, for who signs with these. */
  s3?: { port: number; accessKeyId: string; secretAccessKey: string };
  /** Called when workerd has ended by itself and serves again; miniflare starts it again, unless it ends meanwhile. */
  onRestart?: () => void;
  logLevel?: LogLevel;
};
export type NetworkOptions = {
  /** Whether hosts may have addresses that are not public. */
  allowPrivate: boolean;
};
export type LogLevel = 'none' | 'error' | 'log';

/** Where miniflare serves buckets by the protocol of S3. */
export const S3_PATH = '/cdn-cgi/local/r2/s3';

export type ServedWorker = {
  /** Base URL by which this machine reaches it, without a trailing slash. */
  url: string;
  /** Runs the Worker's `scheduled` handler, as a cron trigger does. */
  scheduled: (cron: string) => Promise<void>;
  /** One of the Worker's KV namespaces, to see or change what stands in it. */
  kv: (binding: string) => ReturnType<Miniflare['getKVNamespace']>;
  stop: () => Promise<void>;
};

/** @throws Error when the port is taken, or the Worker does not start */
export async function serveWorker(
  bundle: WorkerBundle,
  {
    config,
    host = '127.0.0.1',
    port = 0,
    vars = {},
    networks = () => ({}),
    persist = false,
    s3,
    onRestart,
    logLevel = 'error',
  }: ServeOptions,
): Promise<ServedWorker> {
  Object.assign(process.env, QUIET_WRANGLER, workerdThatEndsWithUs(), collectedOften());
  const [wrangler, { convertV4MiniflareOptions, Miniflare, Log, LogLevel: levels }] =
    await Promise.all([import('wrangler'), import('miniflare')]);
  const read = wrangler.unstable_readConfig({ config });
  const { workerOptions, externalWorkers } = wrangler.unstable_getMiniflareWorkerOptions(read);
  const { modulesRules, bindings, serviceBindings, r2Buckets, ...others } = workerOptions;
  const variables = { ...(bindings as Record<string, Json>), ...vars };
  const log: Log = new Log(
    // Whoever listens to restarts needs no stack of miniflare's where one fails.
    logLevel === 'none' || onRestart !== undefined ? levels.NONE : levels.ERROR,
  );
  const lines = new RepeatedLines(print);
  const token = randomUUID();
  const bound = await startNetworks(networks(variables));
  const stopNetworks = async () => {
    await Promise.all(bound.map(([, { stop }]) => stop()));
  };
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      ...(s3 && { port: s3.port }),
      log,
      handleStructuredLogs: (line) => {
        if (isWanted(line, logLevel)) lines.add(line);
      },
      cf: false,
      ...(onRestart === undefined ? {} : { unsafeHandleRuntimeRestart: onRestart }),
      telemetry: { enabled: false },
      // It lists, reads and writes all storage, for whoever reaches miniflare's own port.
      unsafeLocalExplorer: false,
      // The folder of `wrangler dev`.
      ...(persist === false ? {} : { resourcePersistencePath: join(persist, 'v3') }),
      workers: [
        {
          ...others,
          ...(read.name === undefined ? {} : { name: read.name }),
          bindings: variables,
          r2Buckets: bucketsOf(r2Buckets as Buckets, s3),
          serviceBindings: {
            ...(serviceBindings as object),
            ...Object.fromEntries(bound.map(([name, network]) => [name, serviceOf(network)])),
          },
          modulesRoot: '/',
          modules: [bundle.main, ...bundle.others].map(({ name, type, contents }) => ({
            type,
            path: join('/', name),
            contents,
          })),
          unsafeDirectSockets: [{ host, port }],
        },
        ...externalWorkers,
        ...(persist === false
          ? []
          : [
              {
                name: EXPIRING_WORKER.name,
                compatibilityDate: others.compatibilityDate as string,
                kvNamespaces: (others.kvNamespaces ?? {}) as Record<string, string>,
                bindings: { TOKEN: token },
                modules: true,
                script: EXPIRING_WORKER.contents,
                unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
              },
            ]),
      ],
    }),
  );
  try {
    await miniflare.ready;
    const { origin: url } = await miniflare.unsafeGetDirectURL();
    const stopping = new AbortController();
    if (persist !== false) {
      const ofExpiring = async () => {
        return new URL(token, await miniflare.unsafeGetDirectURL(EXPIRING_WORKER.name)).href;
      };
      void expireEntries({ url: ofExpiring, storage: join(persist, 'v3') }, stopping.signal);
    }
    let stopped: Promise<void> | undefined;
    return {
      url,
      scheduled: async (cron) => {
        const worker = await miniflare.getWorker();
        await worker.scheduled({ cron });
      },
      kv: (binding) => miniflare.getKVNamespace(binding),
      stop: () => {
        stopping.abort();
        // Everything is freed where this rejects: with the error of a workerd that could not be started again.
        stopped ??= miniflare
          .dispose()
          .catch(() => {})
          .then(stopNetworks);
        return stopped;
      },
    };
  } catch (cause) {
    await miniflare.dispose().catch(() => {});
    await stopNetworks();
    throw new Error(`The Worker did not start: ${(cause as Error).message}`, { cause });
  }
}

async function startNetworks(
  networks: Readonly<Record<string, NetworkOptions>>,
): Promise<[name: string, HostNetwork][]> {
  return await Promise.all(
    Object.entries(networks).map(
      async ([name, { allowPrivate }]): Promise<[string, HostNetwork]> => {
        return [name, await startNetworkThread(allowPrivate)];
      },
    ),
  );
}

type Buckets = Record<string, { id: string }> | undefined;

function bucketsOf(buckets: Buckets = {}, s3: ServeOptions['s3']): NonNullable<Buckets> {
  if (s3 === undefined) return buckets;
  const { accessKeyId, secretAccessKey } = s3;
  const signed = { s3Credentials: { accessKeyId, secretAccessKey } };
  return Object.fromEntries(
    Object.entries(buckets).map(([name, bucket]) => [name, { ...bucket, ...signed }]),
  );
}

/**
 * Environment in which miniflare starts a workerd that collects garbage sooner. Requests, replies and their bodies take memory
 * outside of V8's heap, of which V8 knows nothing: left to itself it lets some 200 MB of them lie before it collects all of
 * its heap. No limit of an isolate's memory is there on this machine that would make it.
 */
function collectedOften(): Record<string, string> {
  const { MINIFLARE_WORKERD_V8_FLAGS: flags = '--optimize-for-size --max-semi-space-size=4' } =
    process.env;
  return { MINIFLARE_WORKERD_V8_FLAGS: flags };
}

/** Environment in which miniflare starts workerd through `end-with-parent.sh`; it does not where there is no shell. */
function workerdThatEndsWithUs(): Record<string, string> {
  if (process.platform === 'win32') return {};
  const miniflare = createRequire(import.meta.url).resolve('miniflare');
  const { default: workerd } = createRequire(miniflare)('workerd') as { default: string };
  return {
    MINIFLARE_WORKERD_PATH: fileURLToPath(new URL('end-with-parent.sh', import.meta.url)),
    LOCAL_WORKERD: workerd,
  };
}

/** A host of somebody's URL that does not exist: workerd writes a stack of its own, and the Worker gets an error, too. */
const NO_HOST = /\bfailed to lookup address information\b/;

function isWanted({ level, message }: WorkerdStructuredLog, wanted: LogLevel): boolean {
  if (wanted === 'none') return false;
  return wanted === 'log' || (level === 'error' && !NO_HOST.test(message));
}

function print({ level, message }: LogLine): void {
  if (level === 'error' || level === 'warn') console.error(message);
  else console.log(message);
}
