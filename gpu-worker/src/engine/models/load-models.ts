/** The models an engine works with, loaded. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { type EmbeddingType, embeddingTypeOf } from '@blip2/shared/embedding-codec';
import type { EngineOptions, ModelKind } from '../protocol.ts';
import { type Decoder, loadDecoder } from './decoder.ts';
import { QFormerRunner, VisionRunner } from './image-encoder.ts';
import { RetrievalRunner } from './retrieval-model.ts';

export type EngineParts = {
  /** One and the same for both models where their image encoders are. */
  vision: { generate: VisionRunner } & Partial<Record<ModelKind, VisionRunner>>;
  qformer: QFormerRunner;
  decoder: Decoder;
  retrieval?: RetrievalRunner;
  /** How the embeddings of each model are kept. */
  embeddingTypes: { generate: EmbeddingType } & Partial<Record<ModelKind, EmbeddingType>>;
};

/** @throws Error that names the execution provider when it cannot be loaded */
export async function loadParts(options: EngineOptions): Promise<EngineParts> {
  const { bundle, manifest, retrieval } = options;
  const generate = await VisionRunner.load(bundle, manifest, options);
  const parts: EngineParts = {
    vision: { generate },
    qformer: await QFormerRunner.load(bundle, manifest, options),
    decoder: await loadDecoder(options),
    embeddingTypes: { generate: embeddingTypeOf(manifest.precision) },
  };
  if (retrieval === undefined) return parts;
  parts.vision.retrieve = haveSameEncoder(manifest, retrieval.manifest)
    ? generate
    : await VisionRunner.load(retrieval.bundle, retrieval.manifest, options);
  parts.embeddingTypes.retrieve = embeddingTypeOf(retrieval.manifest.precision);
  parts.retrieval = await RetrievalRunner.load(retrieval.bundle, retrieval.manifest, options);
  return parts;
}

export async function releaseParts({ vision, qformer, decoder, retrieval }: EngineParts) {
  const all = new Set([...Object.values(vision), qformer, decoder, retrieval]);
  for (const part of all) await part?.release();
}

/** Whether two bundles hold the same image encoder: its graph and its weights. */
export function haveSameEncoder(a: BundleManifest, b: BundleManifest): boolean {
  const hashes = ({ files, graphs: { vision } }: BundleManifest) =>
    [vision.model, vision.weights].map((name) => files.find(({ path }) => path === name)?.sha256);
  return String(hashes(a)) === String(hashes(b));
}
