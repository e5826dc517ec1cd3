/** Measures how far a generative bundle in fewer bits is from the exact one, on the random checkpoints. */
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { argmax, toLogProbabilities } from '@blip2/gpu-worker/engine/decoding/logits-processors';
import type { Prompt } from '@blip2/gpu-worker/engine/models/decoder';
import { loadModels, releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import type { ExecutionProvider } from '@blip2/gpu-worker/runtime/session-options';
import type { Precision } from '@blip2/shared/precision';
import { leastCosine } from './cosine.ts';
import { DecoderDriver } from './decoder-driver.ts';
import { type Golden, rowOf } from './goldens.ts';

export type PrecisionMetrics = {
  /** Least cosine of a query embedding with the exact one. */
  cosine: number;
  /** Share of positions whose likeliest token is the same. */
  top1: number;
  /** Mean absolute difference of log-probabilities, over all tokens of all positions. */
  logprob: number;
};

/** Where bundles are built, and what runs them. */
export type MetricsOptions = { bundles: string; executionProvider: ExecutionProvider };

/** Tokens of each text that are forced, so that both compute the same positions. */
const FORCED = 8;

export async function openGolden(
  golden: Golden,
  precision: Precision,
  { bundles, executionProvider }: MetricsOptions,
) {
  const bundle = await ensureBundle(golden.checkpoint, { bundles, precision });
  const manifest = await readGenerativeManifest(bundle);
  const sizes = { maxSlots: 8, prefillChunkTokens: 64, prefixCacheBytes: 0 };
  const options = { bundle, manifest, executionProvider, threads: 1, ...sizes };
  const models = await loadModels(options);
  return { models, decoder: new DecoderDriver(models.decoder, options) };
}

type Opened = Awaited<ReturnType<typeof openGolden>>;

/** Query embeddings of all images, and logits along the texts that transformers generated greedily. */
async function computed(golden: Golden, { models, decoder }: Opened) {
  const embeddings: Float32Array[] = [];
  for (let image = 0; image < golden.pixels.shape[0]!; image++) {
    const features = await models.imageEncoder.generate.encode(rowOf(golden.pixels, image));
    embeddings.push((await models.qformer.query(features)).slice());
  }
  const rows: Float32Array[] = [];
  for (const { image, prompt, greedy } of golden.generations) {
    const asked: Prompt = {
      imageKey: '',
      queryEmbeddings: embeddings[image]!,
      ids: prompt,
    };
    let [logits] = await decoder.prefill(0, [asked]);
    let cachedPositions = models.decoder.cachedPositions(prompt.length);
    for (const token of greedy.slice(0, FORCED)) {
      rows.push(logits!);
      [logits] = await decoder.step([{ nextToken: token, cachedPositions }]);
      cachedPositions += 1;
    }
  }
  return { embeddings, rows };
}

export async function measurePrecision(
  golden: Golden,
  precision: Precision,
  options: MetricsOptions,
): Promise<PrecisionMetrics> {
  const [exact, fewer] = [
    await openGolden(golden, 'fp32', options),
    await openGolden(golden, precision, options),
  ];
  const [of, to] = [await computed(golden, fewer), await computed(golden, exact)];
  await releaseModels(exact.models);
  await releaseModels(fewer.models);
  const width = golden.queryEmbeddings.shape[2]!;
  const cosines = of.embeddings.map((values, i) => leastCosine(values, to.embeddings[i]!, width));
  let [same, difference, count] = [0, 0, 0];
  for (const [i, row] of of.rows.entries()) {
    const expected = to.rows[i]!;
    if (argmax(row) === argmax(expected)) same += 1;
    for (const logits of [row, expected]) toLogProbabilities(logits);
    for (let id = 0; id < row.length; id++) difference += Math.abs(row[id]! - expected[id]!);
    count += row.length;
  }
  return {
    cosine: Math.min(...cosines),
    top1: same / of.rows.length,
    logprob: difference / count,
  };
}
