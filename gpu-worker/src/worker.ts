/** The GPU worker as a value: started with a configuration, stopped by draining. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { ensureBundle, readGenerateManifest } from './builder/index.ts';
import type { Config } from './config.ts';
import { EngineClient } from './engine/client.ts';
import { resolveCheckpoint } from './hub/index.ts';
import { createApp, type ServerState } from './server.ts';

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
  const checkpoint = await resolveCheckpoint(config.checkpoint, {
    onProgress: ({ done, total }) =>
      onStatus(`Downloading ${config.checkpoint}: ${Math.floor((10 * done) / total) * 10} %`),
  });
  const bundle = await ensureBundle(checkpoint, {
    ...(config.bundles === undefined ? {} : { bundles: config.bundles }),
    onProgress: ({ label }) => onStatus(`Building the bundle: ${label}`),
  });
  const manifest = await readGenerateManifest(bundle);
  const executionProvider = config.executionProvider === 'auto' ? 'cpu' : config.executionProvider;
  onStatus(`Loading ${manifest.name} on ${executionProvider}`);
  const { threads, maxSlots, maxImageBytes: maxBytes, maxImagePixels: maxPixels } = config;
  const engine = await EngineClient.start(
    { bundle, manifest, executionProvider, threads, maxSlots },
    config.queueLimit,
  );
  const state: ServerState = { draining: false };
  const app = createApp(
    { engine, manifest, limits: { maxBytes, maxPixels } },
    { name: manifest.name, revision: manifest.revision, execution_provider: executionProvider },
    state,
  );
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
    },
  };
}
