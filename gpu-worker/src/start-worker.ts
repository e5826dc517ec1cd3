/** The GPU worker as a value: started with a configuration, stopped by draining. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { serve } from '@hono/node-server';
import { ensureBundle, readGenerativeManifest, readRetrievalManifest } from './builder/index.ts';
import type { Config } from './config.ts';
import { EngineClient } from './engine/client.ts';
import type { RetrievalOptions } from './engine/protocol.ts';
import { createApp, type ServerState } from './http/app.ts';
import { resolveCheckpoint } from './hub/index.ts';
import { createMetrics } from './metrics.ts';
import { traceTo } from './perfetto-trace.ts';
import { findProvider } from './runtime/provider/index.ts';

export type GpuWorker = {
  url: string;
  engine: EngineClient;
  /** Takes no more requests, finishes those that run, and frees everything. */
  stop: () => Promise<void>;
};

/** @param onStatus told what is being done while it starts, often the same line again */
export async function startWorker(
  config: Config,
  onStatus: (line: string) => void = () => {},
): Promise<GpuWorker> {
  const build = async (name: string) => {
    const checkpoint = await resolveCheckpoint(name, {
      onProgress: ({ done, total }) =>
        onStatus(`Downloading ${name}: ${Math.floor((10 * done) / total) * 10} %`),
    });
    return await ensureBundle(checkpoint, {
      ...(config.bundles === undefined ? {} : { bundles: config.bundles }),
      onProgress: ({ label }) => onStatus(`Building the bundle: ${label}`),
    });
  };
  // It takes a second where a graphics driver is loaded: meanwhile the bundle is built.
  const choosing = findProvider(config.executionProvider);
  choosing.catch(() => {});
  const bundle = await build(config.checkpoint);
  const manifest = await readGenerativeManifest(bundle);
  const retrieval = await withRetrieval(config, build);
  const { provider: executionProvider, why } = await choosing;
  onStatus(`Loading ${manifest.name} on ${executionProvider}${why && ` (${why})`}`);
  const { threads, maxSlots, maxImageBytes: maxBytes, maxImagePixels: maxPixels } = config;
  const engine = await EngineClient.start(
    {
      bundle,
      manifest,
      ...(retrieval === undefined ? {} : { retrieval }),
      executionProvider,
      threads,
      maxSlots,
      prefillChunkTokens: config.prefillPiece,
      prefixCacheBytes: config.prefixCacheBytes,
    },
    config.queueLimit,
  );
  const models = {
    generate: manifest,
    ...(retrieval === undefined ? {} : { retrieve: retrieval.manifest }),
  };
  const state: ServerState = { draining: false };
  const model = {
    ...served(manifest),
    execution_provider: executionProvider,
    ...(why === '' ? {} : { execution_provider_why: why }),
    ...(retrieval === undefined ? {} : { retrieval: served(retrieval.manifest) }),
  };
  const metrics = createMetrics(engine, executionProvider);
  const trace = config.trace === undefined ? null : traceTo(config.trace, engine);
  const context = { engine, models, limits: { maxBytes, maxPixels } };
  const app = createApp(context, { model, metrics, state });
  const server = serve({ fetch: app.fetch, hostname: config.host, port: config.port }) as Server;
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.host}:${port}`,
    engine,
    stop: async () => {
      state.draining = true;
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      await closed;
      await engine.stop();
      trace?.end();
    },
  };
}

async function withRetrieval(
  { retrievalCheckpoint }: Config,
  build: (checkpoint: string) => Promise<string>,
): Promise<RetrievalOptions | undefined> {
  if (retrievalCheckpoint === undefined) return undefined;
  const bundle = await build(retrievalCheckpoint);
  return { bundle, manifest: await readRetrievalManifest(bundle) };
}

function served({ name, revision }: BundleManifest) {
  return { name, revision };
}
