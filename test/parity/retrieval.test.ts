/** A retrieval bundle computes what transformers computes for its checkpoint (golden/make/retrieval_checkpoints.py). */
import { ensureBundle, readRetrievalManifest } from '@blip2/gpu-worker/builder/index';
import { itcScore, RetrievalModel } from '@blip2/gpu-worker/engine/models/retrieval-model';
import { type GraphSession, openGraph } from '@blip2/gpu-worker/runtime/session';
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  RETRIEVAL_CASES,
  type RetrievalGolden,
  readRetrievalGolden,
  rowOf,
} from '../../tools/eval/goldens.ts';
import { maxDifference } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { rowTensor } from '../support/tensors.ts';

const TOLERANCE = 1e-4;

const bundles = temporaryFolder();

describe.each(RETRIEVAL_CASES)('the bundle of the random checkpoint "%s"', (name) => {
  let golden: RetrievalGolden;
  let vision: GraphSession<RetrievalManifest['graphs']['vision']>;
  let qformer: GraphSession<RetrievalManifest['graphs']['qformer']>;
  let model: RetrievalModel;
  beforeAll(async () => {
    golden = readRetrievalGolden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const manifest = await readRetrievalManifest(bundle);
    const options = { executionProvider: PROVIDER, threads: 2 };
    vision = await openGraph(bundle, manifest.graphs.vision, options);
    qformer = await openGraph(bundle, manifest.graphs.qformer, options);
    model = await RetrievalModel.load(bundle, manifest, options);
  });
  afterAll(async () => {
    for (const part of [vision, qformer, model]) await part?.release();
  });

  const images = () => Array.from({ length: golden.pixels.shape[0]! }, (_, i) => i);
  const features = (image: number) => rowTensor(golden.imageFeatures, image);

  it('gives the image features and query embeddings of transformers', async () => {
    const pixels = new Tensor('float32', golden.pixels.values, golden.pixels.shape);
    const { image_features } = await vision.run({ pixels });
    const imageFeatures = image_features.data as Float32Array;
    expect(maxDifference(imageFeatures, golden.imageFeatures.values)).toBeLessThan(TOLERANCE);
    const { query_embeddings } = await qformer.run({ image_features });
    const queries = query_embeddings.data as Float32Array;
    expect(maxDifference(queries, golden.queryEmbeddings.values)).toBeLessThan(TOLERANCE);
  });

  it('gives the ITC embeddings and scores of transformers', async () => {
    const texts = await model.textEmbeddings(golden.texts);
    for (const [i, text] of texts.entries()) {
      expect(maxDifference(text, rowOf(golden.textEmbeddings, i))).toBeLessThan(TOLERANCE);
    }
    for (const image of images()) {
      const found = await model.imageEmbeddings(features(image));
      const expected = rowOf(golden.imageEmbeddings, image);
      expect(maxDifference(found, expected)).toBeLessThan(TOLERANCE);
      for (const [i, text] of texts.entries()) {
        const score = itcScore(expected, rowOf(golden.textEmbeddings, i));
        expect(Math.abs(itcScore(found, text) - score)).toBeLessThan(TOLERANCE);
      }
    }
  });

  it('gives the ITM probabilities of transformers', async () => {
    for (const image of images()) {
      const found = await model.matchProbabilities(features(image), golden.texts);
      const logits = rowOf(golden.itmLogits, image);
      const expected = golden.texts.map((_, t) => {
        const [no, yes] = [Math.exp(logits[2 * t]!), Math.exp(logits[2 * t + 1]!)];
        return yes / (no + yes);
      });
      expect(maxDifference(found, expected)).toBeLessThan(TOLERANCE);
    }
  });
});
