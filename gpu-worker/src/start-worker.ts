/** The GPU worker as a value: started with a configuration, stopped by draining. */
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { SignatureCheck } from '@blip2/shared/request-signature';
import { WorkerModel } from '@blip2/shared/wire';
import { freePort, isLoopback, urlOf } from './check-port.ts';
import type { Config } from './config.ts';
import type { EngineClient } from './engine/client.ts';
import { fingerprintOf } from './fingerprint.ts';
import { createApp } from './http/app.ts';
import { Arrivals } from './http/arrivals.ts';
import { BodyMemory } from './http/body-memory.ts';
import { Connections } from './http/connections.ts';
import type { Dependencies, ServerState } from './http/dependencies.ts';
import { maxBodyMs } from './http/receive-request.ts';
import { createHttpServer } from './http/server.ts';
import { weightsChanged } from './http/worker-errors.ts';
import { jobsConfigOf } from './job-options.ts';
import type { Jobs } from './jobs/start-jobs.ts';
import { type LoadedModels, loadModels } from './load-models.ts';
import { type Logger, SILENT } from './logger.ts';
import { createMetrics } from './metrics.ts';
import { traceTo } from './perfetto-trace.ts';
import { NO_TRACES, type Traces } from './tracing/traces.ts';

export type GpuWorker = {
  url: string;
  engine: EngineClient;
  /** Accepts no more requests, finishes those that run, and frees everything. */
  stop: () => Promise<void>;
  /**
   * Settles when the engine thread has crashed, or computes with other weights than it has loaded, once every stream has got its error frame or a few seconds have passed.
   * The worker cannot serve any more.
   */
  crashed: Promise<Error>;
};

/** Requests whose first frame is on its way: it follows the headers within milliseconds. */
const MAX_ARRIVALS = 128;
/** How long clients have to read the errors of a worker whose engine has crashed. */
const ERROR_DELIVERY_MS = 5000;
/** How long a program that has our port may take to say what it is. */
const OCCUPANT_TIMEOUT_MS = 2000;

/** @throws Error when the port is taken, a checkpoint cannot be had, a bundle cannot be built, or the model cannot be loaded */
export async function startWorker(config: Config, log: Logger = SILENT): Promise<GpuWorker> {
  const startJobs = await jobsOf(config);
  expectSecret(config);
  const variables = { host: 'BLIP2_WORKER_HOST', port: 'BLIP2_WORKER_PORT' };
  await freePort(config, { variables, nameOccupant });
  if (config.trace !== undefined) await ensureWritable(config.trace);
  const loaded = await loadModels(config, log);
  const { engine, decoder, models, limits, weights, executionProvider, why } = loaded;
  const { generate: manifest, retrieve } = models;
  const crash = new AbortController();
  const state: ServerState = { draining: false, crashed: crash.signal };
  const model = {
    ...identityOf(manifest),
    execution_provider: executionProvider,
    ...(why === '' ? {} : { execution_provider_why: why }),
    fingerprint: fingerprintOf(manifest, executionProvider),
    ...(retrieve && { retrieval: identityOf(retrieve) }),
  };
  const metrics = createMetrics(engine, decoder, executionProvider);
  const trace = config.trace === undefined ? null : traceTo(config.trace, engine);
  const traces = await tracesOf(config, loaded, log);
  const dependencies: Dependencies = {
    engine,
    decoder,
    models,
    limits,
    arrivals: new Arrivals(MAX_ARRIVALS),
    bodyMemory: new BodyMemory(Math.max(config.maxBodyMemoryMb * 2 ** 20, limits.maxBytes)),
    model,
    metrics,
    traces,
    state,
    signatures: config.secrets.length > 0 ? new SignatureCheck(config.secrets, Date.now) : null,
    hangSeconds: config.hangSeconds,
    log,
  };
  const app = createApp(dependencies);
  const server = createHttpServer((request) => app.fetch(request), maxBodyMs(limits.maxBytes));
  const connections = new Connections(server);
  server.listen(config.port, config.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const jobs = startJobs(dependencies);
  const close = async (graceMs?: number) => {
    state.draining = true;
    await Promise.all([connections.drain(), jobs?.stop(graceMs)]);
  };
  const crashed = Promise.withResolvers<Error>();
  const end = (error: Error) => {
    // Jobs have failed by now; this ends requests that have not become jobs yet.
    crash.abort(error);
    setTimeout(() => server.closeAllConnections(), ERROR_DELIVERY_MS).unref();
    close(0)
      .then(() => Promise.all([traces.stop(), decoder.stop(), weights[Symbol.asyncDispose]()]))
      .then(() => crashed.resolve(error), crashed.reject);
  };
  engine.onCrash((error) => {
    log.error('engine-crashed', { error });
    end(error);
  });
  weights.watch((file) => {
    const message =
      'It changed while it was served. The worker ends: the next one compares digests.';
    log.error('bundle-changed', { file, message });
    const error = weightsChanged();
    engine.fail(error);
    end(error);
  });
  return {
    url: urlOf({ host: config.host, port }),
    engine,
    stop: async () => {
      await close();
      await traces.stop();
      await Promise.all([engine.stop(), decoder.stop(), weights[Symbol.asyncDispose]()]);
      trace?.end();
    },
    crashed: crashed.promise,
  };
}

/** @throws Error where other machines could ask without a signature */
function expectSecret({ host, secrets }: Pick<Config, 'host' | 'secrets'>): void {
  if (secrets.length > 0 || isLoopback(host)) return;
  throw new Error(
    `BLIP2_WORKER_HOST=${host} lets other machines reach this worker, which would do what any of them asks: set BLIP2_WORKER_SECRET to a secret of 32 characters or more (openssl rand -hex 32), the same as GPU_WORKER_SECRET of the edge, or listen on 127.0.0.1.`,
  );
}

/** What takes items of jobs, loaded only where there are any. @throws ConfigError where only some of it is set */
async function jobsOf(config: Config): Promise<(dependencies: Dependencies) => Jobs | null> {
  const jobs = jobsConfigOf(config);
  if (jobs === null) return () => null;
  const { startJobs } = await import('./jobs/start-jobs.ts');
  return (dependencies) => startJobs(jobs, dependencies);
}

/** Where traces go; what exports them is loaded only where it is configured. */
async function tracesOf(
  { otlpEndpoint: endpoint, tracesSampler: sampler, tracesRatio: ratio }: Config,
  { engine, models, executionProvider }: LoadedModels,
  log: Logger,
): Promise<Traces> {
  if (endpoint === undefined) return NO_TRACES;
  const { startOtlp } = await import('./tracing/otlp.ts');
  const { name, revision } = models.generate;
  const attributes = {
    'blip2.execution_provider': executionProvider,
    'blip2.model': name,
    'blip2.revision': revision,
  };
  return startOtlp({ endpoint, sampler, ratio, attributes }, engine, log);
}

/** Whether a GPU worker has the port already, and of which model. */
async function nameOccupant(url: string): Promise<string | null> {
  const signal = AbortSignal.timeout(OCCUPANT_TIMEOUT_MS);
  const response = await fetch(`${url}/v1/model`, { signal }).catch(() => null);
  const { data } = WorkerModel.safeParse(await response?.json().catch(() => null));
  return data === undefined ? null : `A GPU worker of ${data.name}`;
}

function identityOf({ name, revision, precision, preprocessing }: BundleManifest) {
  return { name, revision, precision, preprocessing };
}

/** @throws Error naming the option when the file of the trace cannot be written */
async function ensureWritable(path: string): Promise<void> {
  const file = await open(path, 'w').catch((cause: Error) => {
    throw new Error(`The trace cannot be written to BLIP2_TRACE=${path}.`, { cause });
  });
  await file.close();
}
