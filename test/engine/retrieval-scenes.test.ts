/** The embedded retrieval checkpoint finds which caption belongs to which of the images it was tested on. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBundle, readRetrievalManifest } from '@blip2/gpu-worker/builder/index';
import { ImageEncoder } from '@blip2/gpu-worker/engine/models/image-encoder';
import { itcScore, RetrievalModel } from '@blip2/gpu-worker/engine/models/retrieval-model';
import { openImage } from '@blip2/gpu-worker/image/decode';
import { preprocess } from '@blip2/gpu-worker/image/preprocess';
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CHECKPOINT = new URL('../../gpu-worker/checkpoints/retrieve', import.meta.url).pathname;
const SCENES = new URL('../scenes/', import.meta.url);
const Scenes = z.array(z.object({ file: z.string(), caption: z.string() }));
const TokenizerFile = z.object({ model: z.object({ vocab: z.record(z.string(), z.int()) }) });
/** One image of each layout, and one more. */
const EVERY = 72;

const bundles = temporaryFolder();
let manifest: RetrievalManifest;
let scenes: z.infer<typeof Scenes>;
let texts: number[][];
let imageEncoder: ImageEncoder;
let model: RetrievalModel;
beforeAll(async () => {
  const bundle = await ensureBundle(CHECKPOINT, { bundles });
  manifest = await readRetrievalManifest(bundle);
  const options = { executionProvider: PROVIDER, threads: 2 };
  imageEncoder = await ImageEncoder.load(bundle, manifest, options);
  model = await RetrievalModel.load(bundle, manifest, options);

  const all = Scenes.parse(JSON.parse(await readFile(new URL('scenes.json', SCENES), 'utf8')));
  scenes = all.filter((_, i) => i % EVERY === 0);
  const { vocab } = TokenizerFile.parse(
    JSON.parse(await readFile(join(bundle, 'tokenizer.json'), 'utf8')),
  ).model;
  // Captions are made of whole words of the vocabulary: this is what WordPiece makes of them.
  texts = scenes.map(({ caption }) => {
    const words = caption.split(' ').map((word) => vocab[word]!);
    return [manifest.text.cls_token_id, ...words, manifest.text.sep_token_id];
  });
});
afterAll(async () => {
  for (const part of [imageEncoder, model]) await part?.release();
});

async function featuresOf(file: string): Promise<Tensor> {
  const bytes = await readFile(new URL(file, SCENES));
  const { pixels } = await openImage(bytes, { maxBytes: 1e6, maxPixels: 1e6 });
  return imageEncoder.encode(await preprocess(pixels, manifest.image));
}

/** Numbers of the scenes, the best first. */
function ranking(scores: readonly number[]): number[] {
  return scores.map((_, i) => i).toSorted((a, b) => scores[b]! - scores[a]!);
}

describe('the embedded retrieval checkpoint', () => {
  it('puts the caption of an image above those of others, by ITC and by ITM', async () => {
    expect(scenes).toHaveLength(5);
    const vectors = await model.textEmbeddings(texts);
    for (const [i, { file }] of scenes.entries()) {
      const features = await featuresOf(file);
      const image = await model.imageEmbeddings(features);
      expect(ranking(vectors.map((vector) => itcScore(image, vector)))[0], file).toBe(i);
      expect(ranking(await model.matchProbabilities(features, texts))[0], file).toBe(i);
    }
  });

  it('has an ITM probability above one half for the right caption only', async () => {
    for (const [i, { file }] of scenes.entries()) {
      const probabilities = await model.matchProbabilities(await featuresOf(file), texts);
      expect(
        probabilities.map((probability) => probability > 0.5),
        file,
      ).toEqual(scenes.map((_, j) => j === i));
    }
  });
});
