/** The bundle of a `Blip2ForConditionalGeneration` checkpoint with an OPT decoder: its graphs, its manifest. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { Checkpoint } from './checkpoint.ts';
import {
  type GenerateConfig,
  type GenerationConfig,
  readGenerateConfig,
  readGenerationConfig,
  readImageProcessor,
} from './config.ts';
import { imageInput, preprocessingIdentity } from './image-input.ts';
import { cacheHeadDim, optGraph } from './opt.ts';
import { type BundlePlan, type GenerateDescription, IDLE_TENSORS } from './plan.ts';
import { qformerGraph } from './qformer.ts';
import { imageTokens, visionGraph } from './vision.ts';

const OPT_IMAGE_TOKEN = 50265;
const DEFAULT_MAX_NEW_TOKENS = 32;

/** Plans graphs and manifest; every tensor and config value is checked here, none is read. */
export async function planGenerate(folder: string): Promise<BundlePlan> {
  const config = await readGenerateConfig(folder);
  const generation = await readGenerationConfig(folder);
  const processor = await readImageProcessor(folder);
  const checkpoint = await Checkpoint.open(folder);
  const image = imageInput(config.vision_config, processor);
  const tokens = imageTokens(image);
  const numQueries = config.num_query_tokens;
  const graphs = [
    visionGraph(checkpoint, config.vision_config, image.size),
    qformerGraph(checkpoint, config.qformer_config, { numQueries, imageTokens: tokens }),
    optGraph(checkpoint, config.text_config, config.qformer_config.hidden_size),
  ];
  checkpoint.expectAllTaken(IDLE_TENSORS);
  return { graphs, manifest: describe(config, generation, image) };
}

function describe(
  config: GenerateConfig,
  generation: GenerationConfig,
  image: BundleManifest['image'],
): GenerateDescription {
  const { vision_config: vision, qformer_config: qformer, text_config: text } = config;
  const eos = generation.eos_token_id ?? text.eos_token_id;
  return {
    kind: 'generate',
    family: 'opt',
    precision: 'fp32',
    preprocessing: preprocessingIdentity(image),
    image,
    image_tokens: imageTokens(image),
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
