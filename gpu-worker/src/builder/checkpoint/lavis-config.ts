/** The config that a checkpoint of LAVIS does not have: derived from the shapes of its tensors and from what LAVIS is known to do. */
import type { LavisKind } from './lavis-names.ts';
import type { LavisSettings } from './lavis-settings.ts';
import { optConfig, t5Config } from './lavis-text-config.ts';
import type { Shapes } from './shapes.ts';
import type { TensorSource } from './tensor-source.ts';

type Members = Record<string, unknown>;

/** Heads are in no shape: those of EVA-CLIP's ViT-g and CLIP's ViT-L, and of BERT-base. */
const VISION_HEADS: Record<number, number> = { 1408: 16, 1024: 16 };
const QFORMER_HEADS: Record<number, number> = { 768: 12 };

/** Blocks that LAVIS runs of the encoders' 40 and 24, by width: the last features are better one block before the end. */
const VISION_LAYERS: Record<number, number> = { 1408: 39, 1024: 23 };

const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];
const BICUBIC = 3;

const LAYERS = 'vision_model.encoder.layers.';

/** Blocks of the image encoder that count. */
export function visionLayers(shapes: Shapes, { vision_layers }: LavisSettings): number {
  const present = shapes.count(LAYERS);
  const width = shapes.dim('vision_model.embeddings.class_embedding', 2);
  const wanted = vision_layers ?? VISION_LAYERS[width] ?? present;
  if (wanted > present) throw shapes.fail(`has ${present} blocks of an image encoder of ${wanted}`);
  return wanted;
}

/** Without the blocks behind the last that counts. */
export function withoutLaterBlocks(tensors: TensorSource, layers: number): TensorSource {
  const isLater = (name: string) =>
    name.startsWith(LAYERS) && Number.parseInt(name.slice(LAYERS.length), 10) >= layers;
  return new Map([...tensors].filter(([name]) => !isLater(name)));
}

/** `vision_config`. LAVIS's layer norms have an epsilon of 1e-6 in ViT-g and 1e-5 in ViT-L. */
function visionConfig(shapes: Shapes, settings: LavisSettings): Members {
  const hidden_size = shapes.dim('vision_model.embeddings.class_embedding', 2);
  const patch_size = shapes.dim('vision_model.embeddings.patch_embedding.weight', 2);
  const positions = shapes.dim('vision_model.embeddings.position_embedding', 1);
  const grid = Math.round(Math.sqrt(positions - 1));
  if (grid ** 2 !== positions - 1) throw shapes.fail(`has ${positions} positions: no square`);
  const isClip = shapes.has('vision_model.pre_layernorm.weight');
  return {
    model_type: 'blip_2_vision_model',
    hidden_size,
    intermediate_size: shapes.dim(`${LAYERS}0.mlp.fc1.weight`, 0),
    num_hidden_layers: visionLayers(shapes, settings),
    num_attention_heads: shapes.heads(
      settings.vision_heads,
      VISION_HEADS,
      hidden_size,
      'vision_heads',
    ),
    image_size: grid * patch_size,
    patch_size,
    qkv_bias: shapes.has(`${LAYERS}0.self_attn.qkv.bias`),
    ...(isClip
      ? { hidden_act: 'quick_gelu', layer_norm_eps: 1e-5, pre_layernorm: true }
      : { hidden_act: 'gelu', layer_norm_eps: 1e-6 }),
  };
}

function qformerConfig(shapes: Shapes, settings: LavisSettings, kind: LavisKind): Members {
  const layer = 'qformer.encoder.layer.';
  const hidden_size = shapes.dim('query_tokens', 2);
  const layers = shapes.count(layer);
  const crossing = (i: number) => shapes.has(`${layer}${i}.crossattention.attention.key.weight`);
  const second = Array.from({ length: layers }, (_, i) => i).find((i) => i > 0 && crossing(i));
  const encoder_hidden_size = shapes.dim(`${layer}0.crossattention.attention.key.weight`, 1);
  const visionWidth = shapes.dim('vision_model.embeddings.class_embedding', 2);
  if (encoder_hidden_size !== visionWidth) {
    throw shapes.fail(
      `has a Q-Former for image features of width ${encoder_hidden_size}, and the image encoder's are ${visionWidth} wide: ViT-g has 1408, ViT-L 1024`,
    );
  }
  return {
    model_type: 'blip_2_qformer',
    hidden_size,
    intermediate_size: shapes.dim(`${layer}0.intermediate_query.dense.weight`, 0),
    num_hidden_layers: layers,
    num_attention_heads: shapes.heads(
      settings.qformer_heads,
      QFORMER_HEADS,
      hidden_size,
      'qformer_heads',
    ),
    encoder_hidden_size,
    cross_attention_frequency: second ?? layers,
    use_qformer_text_input: kind === 'retrieve',
    ...(kind === 'retrieve'
      ? {
          vocab_size: shapes.dim('embeddings.word_embeddings.weight', 0),
          max_position_embeddings: shapes.dim('embeddings.position_embeddings.weight', 0),
        }
      : {}),
  };
}

/**
 * `config.json` as transformers would write it.
 * @param text what the base says of the language model; null where no base is given
 */
export function lavisConfig(
  shapes: Shapes,
  kind: LavisKind,
  settings: LavisSettings,
  text: Members | null,
): Members {
  const common = {
    model_type: 'blip-2',
    num_query_tokens: shapes.dim('query_tokens', 1),
    vision_config: visionConfig(shapes, settings),
    qformer_config: qformerConfig(shapes, settings, kind),
  };
  if (kind === 'retrieve') {
    return {
      architectures: ['Blip2ForImageTextRetrieval'],
      ...common,
      image_text_hidden_size: shapes.dim('vision_projection.weight', 0),
    };
  }
  const own = kind === 'opt' ? optConfig(shapes, settings, text) : t5Config(shapes, text);
  return {
    architectures: ['Blip2ForConditionalGeneration'],
    ...common,
    use_decoder_only_language_model: kind === 'opt',
    text_config: { ...text, ...own },
  };
}

/** `preprocessor_config.json` of LAVIS's `blip_image_eval`. */
export function lavisPreprocessor(size: number): Members {
  return {
    image_processor_type: 'BlipImageProcessor',
    do_resize: true,
    size: { height: size, width: size },
    resample: BICUBIC,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: CLIP_MEAN,
    image_std: CLIP_STD,
    do_convert_rgb: true,
  };
}
