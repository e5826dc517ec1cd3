/** Two models with the same image encoder: it is loaded once, and encodes an image once for both. */
import { basename } from 'node:path';
import {
  ensureBundle,
  readGenerativeManifest,
  readRetrievalManifest,
} from '@blip2/gpu-worker/builder/index';
import { Engine } from '@blip2/gpu-worker/engine/engine';
import { ImageEncoder } from '@blip2/gpu-worker/engine/models/image-encoder';
import {
  type EngineModels,
  loadModels,
  releaseModels,
} from '@blip2/gpu-worker/engine/models/load-models';
import type { Job, JobEvent, Pixels } from '@blip2/gpu-worker/engine/protocol';
import type { EngineStats } from '@blip2/gpu-worker/engine/stats';
import { GenerationConfig } from '@blip2/shared/wire';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readRetrievalGolden } from '../../tools/eval/goldens.ts';
import { maxDifference } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const embedded = (kind: string) =>
  new URL(`../../gpu-worker/checkpoints/${kind}`, import.meta.url).pathname;

const bundles = temporaryFolder();

const loaded: EngineModels[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const models of loaded.splice(0)) await releaseModels(models);
});

/** An engine over the embedded generative checkpoint and a retrieval one, with counts of its sessions and runs. */
async function start(checkpoint: string) {
  const opened = vi.spyOn(InferenceSession, 'create');
  const bundle = await ensureBundle(embedded('generate'), { bundles });
  const manifest = await readGenerativeManifest(bundle);
  const other = await ensureBundle(checkpoint, { bundles });
  const retrieval = { bundle: other, manifest: await readRetrievalManifest(other) };
  const options = {
    ...{ bundle, manifest, retrieval, executionProvider: PROVIDER, threads: 2 },
    ...{ maxSlots: 2, prefillChunkTokens: 64, prefixCacheBytes: 0 },
  };
  const models = await loadModels(options);
  loaded.push(models);
  const graphs = opened.mock.calls.map(([path]) => String(path));
  const events: JobEvent[][] = [];
  const stats: EngineStats[] = [];
  const engine = new Engine(
    models,
    options,
    (id, event) => events[id]!.push(event),
    (one) => stats.push(one),
  );
  /** Submits jobs together. @returns the events of each */
  const run = async (...jobs: Job[]) => {
    const from = events.length;
    for (const job of jobs) {
      const id = events.push([]) - 1;
      engine.submit(id, job, { caller: { client: '', priority: 'interactive' } });
    }
    while (await engine.advance());
    for (const ofJob of events.slice(from)) expect(ofJob.at(-1)!.type).toBe('done');
    return events.slice(from);
  };
  return {
    run,
    visionSessions: graphs.filter((path) => basename(path) === 'vision.onnx').length,
    encoded: vi.spyOn(ImageEncoder.prototype, 'encode'),
    features: () => stats.at(-1)!.features,
    retrieval: retrieval.manifest,
  };
}

const pixelsOf = (key: string, size: number): Pixels => ({
  kind: 'pixels',
  key,
  pixels: Float32Array.from({ length: 3 * size ** 2 }, (_, i) => Math.sin(i + key.length)),
});
const caption = (source: Pixels): Job => ({
  kind: 'generate',
  source,
  inputIds: [2],
  config: GenerationConfig.parse({ max_tokens: 3 }),
});
const match = (source: Pixels): Job => ({ kind: 'match', source, texts: [[2, 30, 31, 3]] });
const SIZE = 112;
const scoresOf = (ofJob: JobEvent[]) =>
  ofJob.flatMap((event) => (event.type === 'scores' ? event.scores : []));
const valuesOf = (ofJob: JobEvent[]) =>
  ofJob.flatMap((event) => (event.type === 'embeddings' ? [...event.values] : []));

describe('the embedded checkpoints, whose image encoder is the same', () => {
  it('are served with one session of it, and with one run for a caption and a match at once', async () => {
    const { run, visionSessions, encoded, retrieval } = await start(embedded('retrieve'));
    expect(retrieval.image.size).toBe(SIZE);
    expect(visionSessions).toBe(1);
    const [generated, compared] = await run(
      caption(pixelsOf('a', SIZE)),
      match(pixelsOf('a', SIZE)),
    );
    expect(encoded).toHaveBeenCalledTimes(1);
    expect(valuesOf(generated!).length).toBeGreaterThan(0);
    expect(scoresOf(compared!)).toHaveLength(1);
  });

  it('encode an image once when the match comes after the caption, or before', async () => {
    const { run, encoded, features } = await start(embedded('retrieve'));
    const first = await run(caption(pixelsOf('a', SIZE)));
    const later = await run(match(pixelsOf('a', SIZE)));
    const again = await run(caption(pixelsOf('a', SIZE)));
    expect(encoded).toHaveBeenCalledTimes(1);
    expect(features()).toMatchObject({ hits: 2, misses: 1 });
    expect(features().bytes).toBeGreaterThan(0);
    expect(maxDifference(valuesOf(again[0]!), valuesOf(first[0]!))).toBe(0);

    await run(caption(pixelsOf('bb', SIZE)));
    expect(encoded).toHaveBeenCalledTimes(2);
    const fresh = await start(embedded('retrieve'));
    expect(scoresOf((await fresh.run(match(pixelsOf('a', SIZE))))[0]!)).toEqual(
      scoresOf(later[0]!),
    );
  });
});

describe('checkpoints with different encoders', () => {
  it('are served with two sessions, and never exchange image features', async () => {
    const { run, visionSessions, encoded, features, retrieval } = await start(
      readRetrievalGolden('match').checkpoint,
    );
    expect(visionSessions).toBe(2);
    await run(caption(pixelsOf('a', SIZE)), match(pixelsOf('a', retrieval.image.size)));
    await run(match(pixelsOf('a', retrieval.image.size)));
    expect(encoded).toHaveBeenCalledTimes(3);
    expect(features()).toEqual({ hits: 0, misses: 3, bytes: 0 });
  });
});
