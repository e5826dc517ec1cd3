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
  const { manifest, retrieval } = options;
  const generate = await VisionRunner.load(options, manifest.image.size);
  const parts: EngineParts = {
    vision: { generate },
    qformer: await QFormerRunner.load(options),
    decoder: await loadDecoder(options),
    embeddingTypes: { generate: embeddingTypeOf(manifest.precision) },
  };
  if (retrieval === undefined) return parts;
  const place = { ...options, bundle: retrieval.bundle };
  parts.vision.retrieve = haveSameEncoder(manifest, retrieval.manifest)
    ? generate
    : await VisionRunner.load(place, retrieval.manifest.image.size);
  parts.embeddingTypes.retrieve = embeddingTypeOf(retrieval.manifest.precision);
  parts.retrieval = await RetrievalRunner.load(place, retrieval.manifest);
  return parts;
}

export async function releaseParts({ vision, qformer, decoder, retrieval }: EngineParts) {
  const all = new Set([...Object.values(vision), qformer, decoder, retrieval]);
  for (const part of all) await part?.release();
}

/** Whether two bundles hold the same image encoder: its graph and its weights. */
export function haveSameEncoder(a: BundleManifest, b: BundleManifest): boolean {
  const hashes = ({ files }: BundleManifest) =>
    ['vision.onnx', 'vision.bin'].map((name) => files.find(({ path }) => path === name)?.sha256);
  return String(hashes(a)) === String(hashes(b));
}
