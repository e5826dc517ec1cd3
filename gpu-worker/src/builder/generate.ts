/** The bundle of a `Blip2ForConditionalGeneration` checkpoint with an OPT decoder: its graphs, its manifest. */
import { createHash } from 'node:crypto';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { Checkpoint } from './checkpoint.ts';
import {
  type GenerateConfig,
  type GenerationConfig,
  type ImageProcessor,
  readGenerateConfig,
  readGenerationConfig,
  readImageProcessor,
} from './config.ts';
import { CheckpointError } from './errors.ts';
import type { Graph } from './graph.ts';
import { cacheHeadDim, optGraph } from './opt.ts';
import { qformerGraph } from './qformer.ts';
import { imageTokens, visionGraph } from './vision.ts';

/** What a family of checkpoints has to say about itself before anything is written. */
export type BundlePlan = {
  graphs: Graph[];
  /** The manifest without what only the bundle as a whole knows. */
  manifest: Omit<
    BundleManifest,
    'format' | 'name' | 'revision' | 'files' | 'licence' | 'model_card'
  >;
};

/** Buffers that old checkpoints keep and no layer reads. */
const IDLE_TENSORS = /\.position_ids$/;
const PREPROCESSING_VERSION = 1;
const RESAMPLE = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const;
const OPT_IMAGE_TOKEN = 50265;
const DEFAULT_MAX_NEW_TOKENS = 32;

/** Plans graphs and manifest; every tensor and config value is checked here, none is read. */
export async function planGenerate(folder: string): Promise<BundlePlan> {
  const config = await readGenerateConfig(folder);
  const generation = await readGenerationConfig(folder);
  const processor = await readImageProcessor(folder);
  const checkpoint = await Checkpoint.open(folder);
  const tokens = imageTokens(config.vision_config);
  const numQueries = config.num_query_tokens;
  const graphs = [
    visionGraph(checkpoint, config.vision_config),
    qformerGraph(checkpoint, config.qformer_config, { numQueries, imageTokens: tokens }),
    optGraph(checkpoint, config.text_config, config.qformer_config.hidden_size),
  ];
  checkpoint.expectAllTaken(IDLE_TENSORS);
  return { graphs, manifest: describe(config, generation, processor) };
}

function describe(
  config: GenerateConfig,
  generation: GenerationConfig,
  processor: ImageProcessor,
): BundlePlan['manifest'] {
  const { vision_config: vision, qformer_config: qformer, text_config: text } = config;
  const image = imageInput(config, processor);
  const eos = generation.eos_token_id ?? text.eos_token_id;
  return {
    kind: 'generate',
    family: 'opt',
    precision: 'fp32',
    preprocessing: preprocessingIdentity(image),
    image,
    image_tokens: imageTokens(vision),
    vision_hidden: vision.hidden_size,
    num_query_tokens: config.num_query_tokens,
    qformer_hidden: qformer.hidden_size,
    decoder: {
      layers: text.num_hidden_layers,
      heads: text.num_attention_heads,
      head_dim: cacheHeadDim(text),
      hidden: text.hidden_size,
      vocab: text.vocab_size,
      max_positions: text.max_position_embeddings,
      image_token_id: config.image_token_index ?? OPT_IMAGE_TOKEN,
    },
    bos_token_id: generation.bos_token_id ?? text.bos_token_id,
    eos_token_ids: Array.isArray(eos) ? eos : [eos],
    pad_token_id: generation.pad_token_id ?? text.pad_token_id,
    generation: { max_new_tokens: generation.max_new_tokens ?? DEFAULT_MAX_NEW_TOKENS },
  };
}

function imageInput(config: GenerateConfig, processor: ImageProcessor): BundleManifest['image'] {
  const { image_size: side, patch_size: patch } = config.vision_config;
  const { size } = processor;
  const [height, width] = typeof size === 'object' ? [size.height, size.width] : [size, size];
  if (size !== undefined && (height !== side || width !== side)) {
    throw new CheckpointError(
      `The image processor makes ${height} × ${width} pixels, vision_config.image_size is ${side}.`,
    );
  }
  return {
    size: side,
    patch,
    mean: processor.image_mean,
    std: processor.image_std,
    resample: RESAMPLE[processor.resample]!,
  };
}

/** Changes whenever the same picture would become other pixel values. */
function preprocessingIdentity(image: BundleManifest['image']): string {
  const parameters = createHash('sha256').update(JSON.stringify(image)).digest('hex');
  return `${PREPROCESSING_VERSION}-${parameters.slice(0, 8)}`;
}
