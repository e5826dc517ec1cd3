/** Starts the whole service on this machine: bundle, GPU worker (child process), edge (workerd). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MODEL_OPTIONS, type ModelSettings } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { toEnvironment } from '@blip2/shared/config/read-options';
import type { EdgeModel } from '@blip2/shared/edge-model';
import { prepareEdge, ROOT } from './prepare-edge.ts';

// Quiet, offline workerd; read by wrangler when it is imported.
Object.assign(process.env, {
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  DO_NOT_TRACK: '1',
});

export type StackOptions = {
  /** Port of the edge; 0 takes a free one. */
  port?: number;
  /** What is served; the embedded model by default. */
  model?: ModelSettings;
  /** Checkpoint folder or model on a hub that only this stack serves. */
  checkpoint?: string;
  /** Folder of the local KV; false keeps nothing after the stop. */
  persist?: string | false;
  /** Variables of the Worker that differ from wrangler.toml. */
  vars?: Record<string, string>;
  /** Environment of the GPU worker. */
  workerEnv?: Record<string, string>;
  logLevel?: 'none' | 'error' | 'log';
  onStatus?: (line: string) => void;
};

export type Stack = {
  /** Base URL of the edge, without a trailing slash. */
  url: string;
  /** Base URL of the GPU worker. */
  workerUrl: string;
  worker: ChildProcess;
  /** Starts another GPU worker in place of one that has ended, and waits until it is ready. */
  restartWorker: () => Promise<void>;
  /** Folders of the checkpoint that writes, and of its bundle. */
  checkpoint: string;
  bundle: string;
  /** What the edge knows of the model. */
  model: EdgeModel;
  /** Seconds from the start of the GPU worker until it was ready: the model is loaded and has passed its self-test. */
  loadSeconds: number;
  /** Stops the edge, drains the GPU worker and waits for both. */
  stop: () => Promise<void>;
};

/** @throws Error when the port is taken, or the GPU worker exits before it is ready, or does not get ready within ten minutes */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const status = options.onStatus ?? (() => {});
  const settings: ModelSettings = {
    ...(options.model ?? withDefaults(MODEL_OPTIONS)),
    ...(options.checkpoint === undefined ? {} : { checkpoint: options.checkpoint }),
  };
  await using edgeFolder = await edgeFor(options.checkpoint);
  const { checkpoint, retrievalCheckpoint, bundle, model } = await prepareEdge(
    settings,
    status,
    edgeFolder.path,
  );
  const port = await freePort(options.port ?? 0);
  const workerPort = await freePort(0);
  const workerUrl = `http://127.0.0.1:${workerPort}`;
  const launch = async () => {
    const worker = spawn(process.execPath, [join(ROOT, 'gpu-worker/src/main.ts'), '--attached'], {
      env: {
        BLIP2_LOG_LEVEL: options.logLevel === 'log' ? 'info' : 'warn',
        ...process.env,
        ...toEnvironment(MODEL_OPTIONS, {
          ...settings,
          checkpoint,
          retrievalCheckpoint: retrievalCheckpoint ?? 'none',
        }),
        ...options.workerEnv,
        BLIP2_WORKER_HOST: '127.0.0.1',
        BLIP2_WORKER_PORT: String(workerPort),
      },
      stdio: ['pipe', options.logLevel === 'log' ? 'inherit' : 'ignore', 'inherit'],
    });
    try {
      await untilReady(worker, `${workerUrl}/readyz`);
    } catch (error) {
      await endWorker(worker);
      throw error;
    }
    return worker;
  };
  status(`Starting the GPU worker for ${model.name} …`);
  const launchedAt = performance.now();
  let worker = await launch();
  const loadSeconds = (performance.now() - launchedAt) / 1000;
  try {
    status('Starting the edge …');
    const { unstable_startWorker } = await import('wrangler');
    const edge = await unstable_startWorker({
      config: join(ROOT, 'wrangler.toml'),
      entrypoint: join(edgeFolder.path, 'src/worker.ts'),
      bindings: Object.fromEntries(
        Object.entries({ ...options.vars, GPU_WORKER_URL: workerUrl }).map(([name, value]) => [
          name,
          { type: 'plain_text', value },
        ]),
      ),
      dev: {
        server: { hostname: '127.0.0.1', port },
        inspector: false,
        watch: false,
        persist: options.persist ?? false,
        logLevel: options.logLevel ?? 'error',
      },
    });
    await edge.ready;
    const url = (await edge.url).origin;
    const stop = async () => {
      await edge.dispose();
      await endWorker(worker);
    };
    // Also warms the Worker up, so that the first image does not pay for it.
    const health = await fetch(`${url}/healthz`);
    if (!health.ok) {
      await stop();
      throw new Error(`The edge started but cannot answer: ${await health.text()}`);
    }
    return {
      url,
      workerUrl,
      get worker() {
        return worker;
      },
      restartWorker: async () => {
        worker = await launch();
      },
      checkpoint,
      bundle,
      model,
      loadSeconds,
      stop,
    };
  } catch (error) {
    await endWorker(worker);
    throw error;
  }
}

/**
 * The edge's own folder; for a checkpoint that only this stack serves a copy, which lasts until the Worker is bundled:
 * the model is part of the bundle, and others may be bundling theirs.
 */
async function edgeFor(checkpoint: string | undefined) {
  const own = join(ROOT, 'edge');
  if (checkpoint === undefined) return { path: own, [Symbol.asyncDispose]: async () => {} };
  await mkdir(join(ROOT, '.wrangler'), { recursive: true });
  const path = await mkdtemp(join(ROOT, '.wrangler/edge-'));
  await cp(join(own, 'src'), join(path, 'src'), { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Asks the worker to drain and waits for its exit; kills it after ten seconds. */
export async function endWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const exited = once(worker, 'exit');
  worker.kill('SIGTERM');
  const kill = setTimeout(() => worker.kill('SIGKILL'), 10_000);
  await exited;
  clearTimeout(kill);
}

async function untilReady(worker: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + 600_000;
  while (Date.now() < deadline) {
    const how = worker.signalCode ?? worker.exitCode;
    if (how !== null) throw new Error(`The GPU worker ended (${how}); its message is above.`);
    const response = await fetch(url).catch(() => null);
    if (response?.ok) return;
    await delay(50);
  }
  throw new Error('The GPU worker did not get ready within ten minutes.');
}

/**
 * The port, once it is known to be free; wrangler would wait for a taken one without a word.
 * @param wanted 0 for any free one
 */
async function freePort(wanted: number): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new Error(`Port ${wanted} is taken. Choose another: PORT=${wanted + 1} npm start`, {
      cause,
    });
  }
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
