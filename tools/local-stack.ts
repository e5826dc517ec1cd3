/** Starts the whole service on this machine: bundle, GPU worker (child process), edge (workerd). */
import type { ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { freePort, urlOf } from '@blip2/gpu-worker/check-port';
import { MODEL_OPTIONS, type ModelSettings } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { toEnvironment } from '@blip2/shared/config/read-options';
import type { EdgeModel } from '@blip2/shared/edge-model';
import { Problem } from '@blip2/shared/errors';
import { Health } from '@blip2/shared/schemas/health';
import { LIMIT_OPTIONS, readConfig } from '../edge/src/config.ts';
import { buildWorker, type WorkerBundle } from './build-worker.ts';
import { childOf } from './child-processes.ts';
import { expectSoundState } from './damaged-state.ts';
import type { JobQueue } from './job-queue.ts';
import { LocalWorker } from './local-worker.ts';
import { ownStorage } from './own-storage.ts';
import { prepareEdge, ROOT } from './prepare-edge.ts';
import {
  type LogLevel,
  type NetworkOptions,
  type ServedWorker,
  serveWorker,
} from './serve-worker.ts';
import { imageBucketOf, localS3, type StackJobs, startStackJobs } from './stack-jobs.ts';
import { lookAt, type Running, supervise } from './supervise.ts';
import { sweepStorage } from './sweep-storage.ts';
import { requestsOf } from './worker-process.ts';

/** The edge's configuration: its bindings stand nowhere else. */
export const EDGE_CONFIG = join(ROOT, 'wrangler.toml');

const EDGE = 'The edge (workerd)';
const LOOPBACK = '127.0.0.1';
/** How long whoever has our port may take to say what it is; the edge waits two seconds for its GPU worker. */
const OCCUPANT_TIMEOUT_MS = 3000;
/** For parts that do not answer: four looks where they do nothing; as long as one step of the engine may take where they compute. */
const PATIENCE = { silent: 4, busyMs: 60_000 };
/** A page of the edge that asks nobody else. */
const EDGE_ALONE = '/problems/not-found';

/** What differs on a machine of one's own: nobody else calls, nobody stands in front who would say who does, and there is more memory. */
const LOCAL_VARIABLES = {
  ALLOW_ANONYMOUS: 'true',
  ALLOW_ANONYMOUS_DELETE: 'true',
  CLIENT_ADDRESS_HEADER: 'none',
  MAX_HELD_BYTES: String(2 ** 29),
  ...Object.fromEntries(Object.values(LIMIT_OPTIONS).map(({ env }) => [env, 'none'])),
};

export type StackOptions = {
  /** Address on which the edge listens: this machine alone by default. */
  host?: string;
  /** Port of the edge; 0 takes a free one. */
  port?: number;
  /** What is served; the embedded model by default. */
  model?: ModelSettings;
  /** Checkpoint folder or model on a hub that only this stack serves. */
  checkpoint?: string;
  /** Folder of the edge's local storage; false keeps nothing after the stop. */
  persist?: string | false;
  /** Whether no other `npm start` may have that folder. */
  ownsStorage?: boolean;
  /** Whether jobs are run, from a queue of this stack's own; its messages outlast the stop where the edge's storage does. */
  jobs?: boolean | StackJobs;
  /** Variables of the Worker that differ from wrangler.toml. */
  vars?: Record<string, string>;
  /** GPU workers, which share the cores of this machine: one by default. */
  workers?: number;
  /** What the edge signs its requests to them with; without it they do what any program of this machine asks. */
  workerSecret?: string;
  /** Stands between edge and each GPU worker: gets the worker's base URL, and returns the one that the edge calls. */
  through?: (workerUrl: string) => Promise<string>;
  /** Environment of each GPU worker. */
  workerEnv?: Record<string, string>;
  logLevel?: LogLevel;
  onStatus?: (line: string) => void;
  /** Keeps GPU worker and edge running once they are ready, and gets a line for what happens to them. */
  onEvent?: (line: string) => void;
};

export type Stack = {
  /** Base URL by which this machine reaches the edge, without a trailing slash. */
  url: string;
  /** All GPU workers. */
  workers: readonly LocalWorker[];
  /** Base URL of the first GPU worker. */
  workerUrl: string;
  /** Its process. */
  worker: ChildProcess;
  /** Starts another process in place of the first GPU worker's that has ended, and waits until it is ready. */
  restartWorker: () => Promise<void>;
  /** Starts one more GPU worker, which runs items of jobs and is asked by no edge: whoever asks for it ends it. */
  addWorker: () => Promise<ChildProcess>;
  /** Of jobs; null where there are none. */
  queue: JobQueue | null;
  /** One of the edge's KV namespaces. */
  kv: ServedWorker['kv'];
  /** Folders of the checkpoint that writes, and of its bundle. */
  checkpoint: string;
  bundle: string;
  /** What the model card says in a few words of what the model knows. */
  summary: string | undefined;
  /** How the whole chain was when it was ready. */
  health: Health;
  /** Why there are no jobs, although they were asked for. */
  jobsError: string | null;
  /** What the edge knows of the model. */
  model: EdgeModel;
  /** Seconds from the start of the GPU worker until it was ready: the model is loaded and has passed its self-test. */
  loadSeconds: number;
  /** Stops the edge and drains the GPU worker, the latter first where it runs jobs, and waits for both. */
  stop: () => Promise<void>;
};

/** @throws Error when the port is taken, or the GPU worker exits before it is ready, or does not get ready within ten minutes */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { port = 0, persist = false, logLevel = 'error', onStatus: status = () => {} } = options;
  const { host = LOOPBACK, workers: count = 1, workerSecret } = options;
  const expectFree = () =>
    freePort({ host, port }, { variables: { host: 'HOST', port: 'PORT' }, nameOccupant });
  // An edge that is started again has the same.
  const edgePort = await expectFree();
  const settings: ModelSettings = {
    ...(options.model ?? withDefaults(MODEL_OPTIONS)),
    ...(options.checkpoint === undefined ? {} : { checkpoint: options.checkpoint }),
  };
  await using folder = await edgeFolder();
  // Stops whatever has been started where something fails: the last first, as at the end.
  await using started = new AsyncDisposableStack();
  if (options.ownsStorage && persist !== false) started.use(await ownStorage(persist));
  // Meanwhile; its address is part of what the GPU worker starts with.
  const queueStarting = options.jobs
    ? startStackJobs(options.jobs === true ? {} : options.jobs, {
        edgeUrl: urlOf({ host, port: edgePort }),
        persist,
      })
    : Promise.resolve(null);
  queueStarting.catch(() => {});
  started.defer(async () => await (await queueStarting.catch(() => null))?.stop());
  const prepared = await prepareEdge(settings, status, folder.path);
  // Without jobs, everything else is served all the same.
  let jobsError: string | null = null;
  const queue = await queueStarting.catch((error) => {
    jobsError = String(error);
    return null;
  });
  const environment = {
    ...toEnvironment(MODEL_OPTIONS, {
      ...settings,
      checkpoint: prepared.checkpoint,
      retrievalCheckpoint: prepared.retrievalCheckpoint ?? 'none',
    }),
    ...queue?.workerEnv,
    ...(count > 1 && { BLIP2_THREADS: String(Math.ceil(availableParallelism() / count)) }),
    ...(workerSecret !== undefined && { BLIP2_WORKER_SECRET: workerSecret }),
    ...options.workerEnv,
  };
  const what = count === 1 ? 'the GPU worker' : `${count} GPU workers`;
  status(`Starting ${what} for ${prepared.model.name}, and the edge …`);
  const workers = await Promise.all(
    Array.from({ length: count }, () => LocalWorker.launch(environment, logLevel)),
  );
  const [worker] = workers as [LocalWorker];
  const endWorkers = async () => void (await Promise.all(workers.map((each) => each.end())));
  started.defer(endWorkers);
  // The edge is built and started meanwhile.
  const loading = Promise.all(workers.map((each) => each.ready()));
  loading.catch(() => {});
  const built = await buildEdge(folder.path);
  const { onEvent, through = async (url) => url } = options;
  const gpuWorkerUrls = await Promise.all(workers.map(({ url }) => through(url)));
  // GPU workers read images of jobs from the bucket itself, as they do on Cloudflare.
  const s3 = queue === null ? null : await localS3();
  const serveEdge = async (progress: (line: string) => void) => {
    if (persist !== false) {
      await expectSoundState(persist, onEvent ?? status);
      await sweepStorage(persist, { report: onEvent ?? status, progress });
    }
    return await serveWorker(built, {
      config: EDGE_CONFIG,
      host,
      port: edgePort,
      vars: {
        ...LOCAL_VARIABLES,
        ...queue?.vars,
        ...(workerSecret !== undefined && { GPU_WORKER_SECRET: workerSecret }),
        ...(s3 && imageBucketOf(s3)),
        MAX_REQUESTS_PER_WORKER: String(requestsOf(environment)),
        ...options.vars,
        GPU_WORKER_URLS: gpuWorkerUrls.join(', '),
      },
      networks: imageNetwork,
      persist,
      ...(s3 && { s3 }),
      logLevel,
      ...(onEvent && { onRestart: () => onEvent(`${EDGE} ended, and serves again.`) }),
    });
  };
  let edge = await serveEdge(status).catch(async (cause) => {
    // Somebody else, another start of ours perhaps, may have taken the port since it was looked at.
    await expectFree();
    throw cause;
  });
  started.defer(() => edge.stop());
  // Before the edge, which takes the results of what it has begun.
  if (queue !== null) started.defer(endWorkers);
  const loadSeconds = Math.max(...(await loading));
  // Also warms the Worker up, so that the first image does not pay for it.
  const answer = await fetch(`${edge.url}/healthz`);
  if (!answer.ok) throw new Error(`The edge started but cannot answer: ${await answer.text()}`);
  const health = Health.parse(await answer.json());
  if (onEvent !== undefined) {
    const supervisions = [
      ...workers.map((each, i) =>
        each.supervise(
          {
            name: count === 1 ? 'The GPU worker' : `GPU worker ${i + 1} of ${count}`,
            meanwhile:
              count === 1
                ? 'Until then cached embeddings are served, and everything else gets 503.'
                : 'Until then its requests go to the others.',
            // One that drains accepts no connections, and ends.
            patience: { ...PATIENCE, closed: 60 },
          },
          loadSeconds,
          onEvent,
        ),
      ),
      supervise(
        {
          name: EDGE,
          meanwhile: 'Until then nothing is served.',
          // Miniflare starts a workerd that has ended, unless it ends again meanwhile.
          patience: { ...PATIENCE, closed: 2 },
          start: async () => {
            edge = await serveEdge(onEvent);
            return runningEdge(edge);
          },
        },
        runningEdge(edge),
        { report: onEvent },
      ),
    ];
    started.defer(() => Promise.all(supervisions.map(({ stop }) => stop())).then(() => {}));
  }
  const running = started.move();
  return {
    url: edge.url,
    workers,
    workerUrl: worker.url,
    get worker() {
      return worker.process;
    },
    restartWorker: () => worker.restart(),
    addWorker: async () => {
      const another = await LocalWorker.launch(environment, logLevel);
      await another.ready();
      return another.process;
    },
    queue,
    kv: edge.kv,
    checkpoint: prepared.checkpoint,
    bundle: prepared.bundle,
    summary: prepared.summary,
    health,
    jobsError,
    model: prepared.model,
    loadSeconds,
    stop: () => running.disposeAsync(),
  };
}

/** The hosts of images must be public, whatever their names are. The GPU worker, which the Worker's own `fetch` reaches, is not. */
function imageNetwork(
  variables: Readonly<Record<string, unknown>>,
): Record<string, NetworkOptions> {
  return { IMAGE_NETWORK: { allowPrivate: readConfig(variables).allowPrivateImageUrls } };
}

/**
 * A copy of the edge's folder, which lasts until the Worker is bundled: the model is part of the bundle, and another
 * stack may be bundling its own at the same time.
 */
async function edgeFolder() {
  await mkdir(join(ROOT, '.wrangler'), { recursive: true });
  const path = await mkdtemp(join(ROOT, '.wrangler/edge-'));
  await cp(join(ROOT, 'edge/src'), join(path, 'src'), { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** @param folder the edge's own, or a copy */
function buildEdge(folder: string): Promise<WorkerBundle> {
  const [sources, generated] = [join(folder, 'src'), join(folder, 'generated')];
  return buildWorker({
    config: EDGE_CONFIG,
    entrypoint: join(sources, 'worker.ts'),
    sources: [sources, generated, join(ROOT, 'shared/src')],
  });
}

/** An edge that serves, to be supervised: whether workerd runs shows at its port only. Miniflare, which starts it, does not name its process. */
function runningEdge({ url, stop }: ServedWorker): Running {
  return {
    ended: new Promise(() => {}),
    look: (signal) => lookAt(`${url}${EDGE_ALONE}`, signal, () => true),
    pid: () => childOf(process.pid, 'workerd\0serve'),
    kill: stop,
  };
}

/** Whether the service has the port already: its health says so, in a problem too. */
async function nameOccupant(url: string): Promise<string | null> {
  const signal = AbortSignal.timeout(OCCUPANT_TIMEOUT_MS);
  const response = await fetch(`${url}/healthz`, { signal }).catch(() => null);
  const body: unknown = await response?.json().catch(() => null);
  const isOurs =
    Health.safeParse(body).success ||
    Problem.safeParse(body).data?.type.startsWith('/problems/') === true;
  return isOurs ? 'BLIP-2' : null;
}
