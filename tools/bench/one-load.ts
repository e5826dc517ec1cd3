/** Loads the model once in a process of its own, as the worker does when it starts, and prints what that took. */
import { findDamage } from '@blip2/gpu-worker/builder/index';
import { readConfig } from '@blip2/gpu-worker/config';
import { loadEngine } from '@blip2/gpu-worker/load-engine';
import { SILENT } from '@blip2/gpu-worker/logger';
import { chooseCheckpoints } from '@blip2/gpu-worker/model-options';
import { resolveBundle } from '@blip2/gpu-worker/resolve-bundle';
import { findProvider } from '@blip2/gpu-worker/runtime/provider/index';
import type { Load } from './loading.ts';

const comparesDigests = process.argv[2] === 'compare-digests';
const config = readConfig(process.env);
const { provider: executionProvider } = await findProvider(config.executionProvider);
const start = performance.now();
const cpu = process.cpuUsage();
const { engine, weights } = await loadEngine({
  ...chooseCheckpoints(config),
  bundleOf: async (name) => (await resolveBundle(name, config, () => {})).bundle,
  engineOptions: async () => ({
    executionProvider,
    threads: config.threads,
    maxSlots: config.maxSlots,
    reserveSlots: config.reserveSlots,
    prefillChunkTokens: config.prefillChunkTokens,
    prefixCacheBytes: config.prefixCacheMb * 2 ** 20,
  }),
  queueLimit: config.queueLimit,
  log: SILENT,
  findDamage: comparesDigests ? findDamage : async () => [],
});
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
await engine.stop();
await weights[Symbol.asyncDispose]();
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 } satisfies Load));
