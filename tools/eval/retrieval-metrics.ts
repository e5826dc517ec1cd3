/** Measures how far a retrieval bundle in fewer bits is from the exact one, on the random checkpoints. */
import { ensureBundle, readRetrievalManifest } from '@blip2/gpu-worker/builder/index';
import { ImageEncoder } from '@blip2/gpu-worker/engine/models/image-encoder';
import { RetrievalModel } from '@blip2/gpu-worker/engine/models/retrieval-model';
import type { Precision } from '@blip2/shared/precision';
import { leastCosine } from './cosine.ts';
import { type RetrievalGolden, rowOf } from './goldens.ts';
import type { MetricsOptions } from './precision-metrics.ts';

export type RetrievalMetrics = {
  /** Least cosine of ITC's vectors with the exact ones: of images' queries, and of texts. */
  imageCosine: number;
  textCosine: number;
  /** Mean and largest difference of ITM's probabilities. */
  itm: number;
  itmMost: number;
};

/** ITC's vectors and ITM's probabilities of every image and text, from the pixels on. */
async function computed(
  golden: RetrievalGolden,
  precision: Precision,
  { bundles, executionProvider }: MetricsOptions,
) {
  const bundle = await ensureBundle(golden.checkpoint, { bundles, precision });
  const manifest = await readRetrievalManifest(bundle);
  const options = { executionProvider, threads: 1 };
  const imageEncoder = await ImageEncoder.load(bundle, manifest, options);
  const model = await RetrievalModel.load(bundle, manifest, options);
  const texts = await model.textEmbeddings(golden.texts);
  const images: Float32Array[] = [];
  const itm: number[] = [];
  for (let image = 0; image < golden.pixels.shape[0]!; image++) {
    const features = await imageEncoder.encode(rowOf(golden.pixels, image));
    images.push((await model.imageEmbeddings(features)).slice());
    itm.push(...(await model.matchProbabilities(features, golden.texts)));
  }
  for (const part of [imageEncoder, model]) await part.release();
  return { images, texts, itm, width: manifest.itc_hidden };
}

export async function measureRetrievalPrecision(
  golden: RetrievalGolden,
  precision: Precision,
  options: MetricsOptions,
): Promise<RetrievalMetrics> {
  const exact = await computed(golden, 'fp32', options);
  const fewer = await computed(golden, precision, options);
  const least = (part: 'images' | 'texts') =>
    Math.min(...exact[part].map((row, i) => leastCosine(row, fewer[part][i]!, exact.width)));
  const differences = exact.itm.map((value, i) => Math.abs(value - fewer.itm[i]!));
  return {
    imageCosine: least('images'),
    textCosine: least('texts'),
    itm: differences.reduce((sum, value) => sum + value, 0) / differences.length,
    itmMost: Math.max(...differences),
  };
}
