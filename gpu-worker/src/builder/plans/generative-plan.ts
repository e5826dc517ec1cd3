/** The bundle of a `Blip2ForConditionalGeneration` checkpoint: its graphs, its manifest. */
import type { BundleManifest, Precision } from '@blip2/shared/bundle-manifest';
import type { Graph } from '../../onnx/graph.ts';
import { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TensorSource } from '../checkpoint/tensor-source.ts';
import { type GenerationSettings, readGenerationSettings } from '../config/generation-config.ts';
import { readImageProcessor } from '../config/image-processor.ts';
import { type GenerateConfig, readGenerateConfig } from '../config/model-config.ts';
import { imageInput, preprocessingIdentity } from '../config/preprocessing.ts';
import type { Source } from '../graphs/layers.ts';
import { describeOpt, optGraph } from '../graphs/opt.ts';
import { qformerGraph } from '../graphs/qformer.ts';
import { describeT5, T5_COPIES, t5Graphs } from '../graphs/t5.ts';
import { imageTokens, visionGraph } from '../graphs/vision.ts';
import { type BundlePlan, type GenerateDescription, IDLE_TENSORS } from './plan.ts';

/** Where a config does not name it: what every published checkpoint has. */
const IMAGE_TOKEN = { opt: 50265, t5: 32100 };
const DEFAULT_MAX_NEW_TOKENS = 32;

/** Plans graphs and manifest; every tensor and config value is checked here, none is read. */
export async function planGenerate(
  folder: string,
  precision: Precision,
  tensors: TensorSource,
): Promise<BundlePlan> {
  const config = await readGenerateConfig(folder);
  const generation = await readGenerationSettings(folder, config.text_config.model_type);
  const processor = await readImageProcessor(folder);
  const checkpoint = new Checkpoint(folder, tensors);
  const source = { checkpoint, precision };
  const image = imageInput(config.vision_config, processor);
  const tokens = imageTokens(image);
  const numQueries = config.num_query_tokens;
  const graphs = [
    visionGraph(source, config.vision_config, image.size),
    qformerGraph(source, config.qformer_config, { numQueries, imageTokens: tokens }),
    ...textGraphs(source, config),
  ];
  checkpoint.expectAllTaken(
    config.text_config.model_type === 't5' ? [IDLE_TENSORS, T5_COPIES] : [IDLE_TENSORS],
  );
  return { graphs, manifest: describe(config, generation, { image, precision }) };
}

function textGraphs(source: Source, { text_config, qformer_config }: GenerateConfig): Graph[] {
  const width = qformer_config.hidden_size;
  return text_config.model_type === 'opt'
    ? [optGraph(source, text_config, width)]
    : t5Graphs(source, text_config, width);
}

function describe(
  config: GenerateConfig,
  generation: GenerationSettings,
  { image, precision }: { image: BundleManifest['image']; precision: Precision },
): GenerateDescription {
  const { vision_config: vision, qformer_config: qformer, text_config: text } = config;
  const eos = generation.eos_token_id ?? text.eos_token_id;
  return {
    kind: 'generate',
    family: text.model_type,
    precision,
    preprocessing: preprocessingIdentity(image, precision),
    image,
    image_tokens: imageTokens(image),
    vision_hidden: vision.hidden_size,
    num_query_tokens: config.num_query_tokens,
    qformer_hidden: qformer.hidden_size,
    decoder: {
      ...(text.model_type === 'opt' ? describeOpt(text) : describeT5(text)),
      image_token_id: config.image_token_index ?? IMAGE_TOKEN[text.model_type],
    },
    ...(text.model_type === 't5'
      ? {
          decoder_start_token_id: generation.decoder_start_token_id ?? text.decoder_start_token_id,
        }
      : {}),
    bos_token_id: generation.bos_token_id ?? text.bos_token_id ?? text.pad_token_id,
    eos_token_ids: Array.isArray(eos) ? eos : [eos],
    pad_token_id: generation.pad_token_id ?? text.pad_token_id,
    generation: {
      max_new_tokens: generation.max_new_tokens ?? DEFAULT_MAX_NEW_TOKENS,
      ...(Object.keys(generation.defaults).length === 0 ? {} : { defaults: generation.defaults }),
    },
  };
}
