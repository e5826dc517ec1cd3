/** The bundle of a `Blip2ForConditionalGeneration` or `InstructBlipForConditionalGeneration` checkpoint: its graphs, its manifest. */
import { join } from 'node:path';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { Precision } from '@blip2/shared/precision';
import { QFORMER_TOKENIZER } from '../../qformer-tokenizer-files.ts';
import { Checkpoint } from '../checkpoint/checkpoint.ts';
import { composeQFormerTokenizer } from '../checkpoint/qformer-tokenizer.ts';
import type { TensorSource } from '../checkpoint/tensor-source.ts';
import { readQFormerText } from '../checkpoint/tokenizer/qformer-text.ts';

import { type GenerationSettings, readGenerationSettings } from '../config/generation-config.ts';
import { readImageProcessor } from '../config/image-processor.ts';
import {
  type GenerativeConfig,
  type QFormerConfig,
  readGenerativeConfig,
  readsInstruction,
} from '../config/model-config.ts';
import { imageInput, preprocessingIdentity } from '../config/preprocessing.ts';
import { describeOpt, optGraph } from '../graphs/opt.ts';
import { instructQformerGraph, qformerGraph } from '../graphs/qformer.ts';
import { describeT5, T5_COPIES, t5Graphs } from '../graphs/t5.ts';
import { imageTokens, visionGraph } from '../graphs/vision.ts';
import { type BundlePlan, descriptionsOf, graphsOf, IGNORED_TENSORS } from './plan.ts';

/** That of every published checkpoint, where a config does not name it. */
const IMAGE_TOKEN = { opt: 50265, t5: 32100 };
const DEFAULT_MAX_NEW_TOKENS = 32;

/** Plans graphs and manifest; every tensor and config value is checked here, no weight is read. */
export async function planGenerative(
  folder: string,
  precision: Precision,
  tensors: TensorSource,
): Promise<BundlePlan> {
  const config = await readGenerativeConfig(folder);
  const generation = await readGenerationSettings(folder, config.text_config.model_type);
  const processor = await readImageProcessor(folder);
  const checkpoint = new Checkpoint(folder, tensors);
  const source = { checkpoint, precision };
  const { vision_config: vision, qformer_config: qformer, text_config: text } = config;
  const image = imageInput(vision, processor);
  const sizes = { numQueries: config.num_query_tokens, imageTokens: imageTokens(image) };
  const isInstruct = readsInstruction(config);
  const imageGraphs = {
    vision: visionGraph(source, vision, image.size),
    qformer: (isInstruct ? instructQformerGraph : qformerGraph)(source, qformer, sizes),
  };
  const common = {
    ...describe(config, generation, { image, precision }),
    ...(isInstruct
      ? {
          instruction: readQFormerText(
            await composeQFormerTokenizer(folder),
            qformer,
            join(folder, QFORMER_TOKENIZER),
          ),
        }
      : {}),
  };
  const ignored = isInstruct ? [IGNORED_TENSORS, lastTextLayers(qformer)] : [IGNORED_TENSORS];
  const { image_token_index } = config;
  if (text.model_type === 'opt') {
    const graphs = { ...imageGraphs, decoder: optGraph(source, text, qformer.hidden_size) };
    checkpoint.ensureAllUsed(ignored);
    const decoder = { ...describeOpt(text), image_token_id: image_token_index ?? IMAGE_TOKEN.opt };
    return {
      graphs: graphsOf(graphs),
      manifest: { ...common, family: 'opt', decoder, graphs: descriptionsOf(graphs) },
    };
  }
  const graphs = { ...imageGraphs, ...t5Graphs(source, text, qformer.hidden_size) };
  checkpoint.ensureAllUsed([...ignored, T5_COPIES]);
  return {
    graphs: graphsOf(graphs),
    manifest: {
      ...common,
      family: 't5',
      decoder: { ...describeT5(text), image_token_id: image_token_index ?? IMAGE_TOKEN.t5 },
      decoder_start_token_id: generation.decoder_start_token_id ?? text.decoder_start_token_id,
      graphs: descriptionsOf(graphs),
    },
  };
}

/** Behind the last block nobody reads what the text has become. */
function lastTextLayers({ num_hidden_layers }: QFormerConfig): RegExp {
  return new RegExp(
    `^qformer\\.encoder\\.layer\\.${num_hidden_layers - 1}\\.(intermediate|output)\\.`,
  );
}

/** What the manifest says of both families. */
function describe(
  config: GenerativeConfig,
  generation: GenerationSettings,
  { image, precision }: { image: BundleManifest['image']; precision: Precision },
) {
  const { vision_config: vision, qformer_config: qformer, text_config: text } = config;
  const eos = generation.eos_token_id ?? text.eos_token_id;
  return {
    kind: 'generate' as const,
    precision,
    preprocessing: preprocessingIdentity(image, precision),
    image,
    image_tokens: imageTokens(image),
    vision_hidden: vision.hidden_size,
    num_query_tokens: config.num_query_tokens,
    qformer_hidden: qformer.hidden_size,
    bos_token_id: generation.bos_token_id ?? text.bos_token_id ?? text.pad_token_id,
    eos_token_ids: Array.isArray(eos) ? eos : [eos],
    pad_token_id: generation.pad_token_id ?? text.pad_token_id,
    generation: {
      max_new_tokens: generation.max_new_tokens ?? DEFAULT_MAX_NEW_TOKENS,
      ...(Object.keys(generation.defaults).length === 0 ? {} : { defaults: generation.defaults }),
    },
  };
}
