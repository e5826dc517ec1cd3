/** Loads the models of an engine. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { type EmbeddingType, embeddingTypeOf } from '@blip2/shared/embedding-codec';
import type { ModelKind } from '@blip2/shared/route';
import type { EngineOptions } from '../protocol.ts';
import type { Decoder } from './decoder.ts';
import { ImageEncoder } from './image-encoder.ts';
import { loadDecoder } from './load-decoder.ts';
import { QFormer } from './qformer.ts';
import { RetrievalModel } from './retrieval-model.ts';

/** The public members of a class. */
type Public<T> = Pick<T, keyof T>;

/** Of the generative model, and of the retrieval model where there is one. */
type OfEachModel<T> = { generate: T } & Partial<Record<ModelKind, T>>;

export type EngineModels = {
  /** One and the same for both models where their image encoders are. */
  imageEncoder: OfEachModel<Public<ImageEncoder>>;
  qformer: Public<QFormer>;
  decoder: Decoder;
  retrieval?: Public<RetrievalModel>;
  /** In which precision the embeddings of each model are cached. */
  embeddingTypes: OfEachModel<EmbeddingType>;
};

/** @throws Error that names the execution provider when it cannot be loaded */
export async function loadModels(options: EngineOptions): Promise<EngineModels> {
  const { bundle, manifest, retrieval } = options;
  const generate = await ImageEncoder.load(bundle, manifest, options);
  const models: EngineModels = {
    imageEncoder: { generate },
    qformer: await QFormer.load(bundle, manifest, options),
    decoder: await loadDecoder(options),
    embeddingTypes: { generate: embeddingTypeOf(manifest.precision) },
  };
  if (retrieval === undefined) return models;
  models.imageEncoder.retrieve = haveSameEncoder(manifest, retrieval.manifest)
    ? generate
    : await ImageEncoder.load(retrieval.bundle, retrieval.manifest, options);
  models.embeddingTypes.retrieve = embeddingTypeOf(retrieval.manifest.precision);
  models.retrieval = await RetrievalModel.load(retrieval.bundle, retrieval.manifest, options);
  return models;
}

/** Frees the models. */
export async function releaseModels({
  imageEncoder,
  qformer,
  decoder,
  retrieval,
}: EngineModels): Promise<void> {
  const all = new Set([...Object.values(imageEncoder), qformer, decoder, retrieval]);
  for (const model of all) await model?.release();
}

/** Whether two bundles hold the same image encoder: its graph and its weights. */
export function haveSameEncoder(a: BundleManifest, b: BundleManifest): boolean {
  const hashes = ({ files, graphs: { vision } }: BundleManifest) =>
    [vision.model, vision.weights].map((name) => files.find(({ path }) => path === name)?.sha256);
  return String(hashes(a)) === String(hashes(b));
}
