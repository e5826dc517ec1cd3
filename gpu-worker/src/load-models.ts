/** Loads what the worker computes with: bundles, built where needed, the engine, and the processes that decode images. */

import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import { type Config, MEMORY_MB } from './config.ts';
import type { EngineClient } from './engine/client.ts';
import type { ImageLimits } from './image/decode.ts';
import { DecodePool } from './image/decode-pool.ts';
import { kvCacheBytes } from './kv-memory.ts';
import { loadEngine } from './load-engine.ts';
import type { Logger } from './logger.ts';
import { chooseCheckpoints } from './model-options.ts';
import { type BundleProgress, resolveBundle } from './resolve-bundle.ts';
import { findProvider } from './runtime/provider/index.ts';
import type { ExecutionProvider } from './runtime/session-options.ts';
import type { WeightFiles } from './weight-files.ts';

export type LoadedModels = {
  engine: EngineClient;
  decoder: DecodePool;
  models: { generate: GenerativeManifest; retrieve?: RetrievalManifest };
  limits: ImageLimits;
  /** Folders of the bundles. */
  bundles: { generate: string; retrieve?: string };
  /** The files of weights that are mapped. */
  weights: WeightFiles;
  executionProvider: ExecutionProvider;
  /** Why it is this one; '' where it was asked for. */
  why: string;
};

/** The caller stops engine and decoder, and lets go of the weights. @throws Error when a checkpoint cannot be had, a bundle cannot be built, or the model cannot be loaded */
export async function loadModels(config: Config, log: Logger): Promise<LoadedModels> {
  const chosen = chooseCheckpoints(config);
  const bundles = new Map<string, string>();
  const build = async (name: string) => {
    const { bundle } = await resolveBundle(name, config, progressInto(log, name));
    bundles.set(name, bundle);
    return bundle;
  };
  // It takes a second where a graphics driver is loaded: meanwhile the bundle is built.
  const choosing = findProvider(config.executionProvider);
  choosing.catch(() => {});
  const { threads, maxSlots, maxImageBytes: maxBytes, maxImagePixels: maxPixels } = config;
  // Started while the model is loaded.
  const starting = DecodePool.start({
    limits: { maxBytes, maxPixels },
    processes: config.decodeProcesses,
    timeoutMs: 1000 * config.decodeTimeoutS,
    imageMemory: config.decodeMemoryMb * 2 ** 20,
    totalMemory: config.decodeTotalMemoryMb * 2 ** 20,
  });
  starting.catch(() => {});
  const { engine, manifest, retrieval, weights } = await loadEngine({
    ...chosen,
    bundleOf: build,
    engineOptions: async (manifest, retrieval) => {
      const { provider: executionProvider, why } = await choosing;
      const served = { generate: manifest, retrieve: retrieval, executionProvider };
      const kvBytes = kvCacheBytes(config, served, MEMORY_MB);
      log.info('loading', {
        model: manifest.name,
        execution_provider: executionProvider,
        why,
        ...(kvBytes !== undefined && { kv_cache_mb: Math.floor(kvBytes / 2 ** 20) }),
      });
      return {
        executionProvider,
        threads,
        maxSlots,
        reserveSlots: config.reserveSlots,
        prefillChunkTokens: config.prefillChunkTokens,
        prefixCacheBytes: config.prefixCacheMb * 2 ** 20,
        kvCacheBytes: kvBytes,
        backgroundShare: config.backgroundPercent / 100,
        reportsJobs: config.otlpEndpoint !== undefined,
      };
    },
    queueLimit: config.queueLimit,
    log,
  }).catch(async (error) => {
    await starting.then((pool) => pool.stop()).catch(() => {});
    throw error;
  });
  const decoder = await starting.catch(async (error) => {
    await Promise.all([engine.stop(), weights[Symbol.asyncDispose]()]);
    throw error;
  });
  decoder.listen({
    onEnded: (ending, error) => log.warn('decoder-ended', { ending, ...(error && { error }) }),
  });
  const { provider: executionProvider, why } = await choosing;
  const models = {
    generate: manifest,
    ...(retrieval === undefined ? {} : { retrieve: retrieval.manifest }),
  };
  const bundleOf = (name: string | undefined) => (name && bundles.get(name)) || '';
  return {
    engine,
    decoder,
    models,
    limits: { maxBytes, maxPixels },
    bundles: {
      generate: bundleOf(chosen.checkpoint),
      ...(retrieval && { retrieve: bundleOf(chosen.retrievalCheckpoint) }),
    },
    weights,
    executionProvider,
    why,
  };
}

/** Logs how far a download or a build is, at each tenth. */
function progressInto(log: Logger, checkpoint: string): (progress: BundleProgress) => void {
  let last = '';
  return ({ step, done, total, label }) => {
    const percent = 10 * Math.floor((10 * done) / total);
    const current = `${step} ${percent}`;
    if (current !== last) log.info(step, { checkpoint, percent, label });
    last = current;
  };
}
