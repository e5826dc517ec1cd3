/** The config that a checkpoint of LAVIS does not have: told by the shapes of its tensors, and by what LAVIS is known to do. */
import { CheckpointError } from '../errors.ts';
import type { LavisKind } from './lavis-names.ts';
import type { LavisSettings } from './lavis-settings.ts';
import type { TensorSource } from './tensor-source.ts';

type Members = Record<string, unknown>;

/** Heads are in no shape: those of EVA-CLIP's ViT-g and CLIP's ViT-L, of BERT-base, and of the published OPTs. */
const VISION_HEADS: Record<number, number> = { 1408: 16, 1024: 16 };
const QFORMER_HEADS: Record<number, number> = { 768: 12 };
const OPT_HEADS: Record<number, number> = { 2560: 32, 4096: 32 };

/** Blocks that LAVIS runs of the encoders' 40 and 24, by width: the last features are better one block before the end. */
const VISION_LAYERS: Record<number, number> = { 1408: 39, 1024: 23 };

const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];
const BICUBIC = 3;

const LAYERS = 'vision_model.encoder.layers.';

/** Shapes by name; what is missing is named. */
export class Shapes {
  readonly #tensors: TensorSource;
  readonly #path: string;

  constructor(tensors: TensorSource, path: string) {
    this.#tensors = tensors;
    this.#path = path;
  }

  /** Size of one dimension of a tensor. */
  dim(name: string, axis: number): number {
    const size = this.#tensors.get(name)?.shape[axis];
    if (size === undefined) throw this.fail(`lacks the tensor "${name}"`);
    return size;
  }

  /** How many are numbered from 0 on behind a prefix. */
  count(prefix: string): number {
    const numbers = [...this.#tensors.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number.parseInt(name.slice(prefix.length), 10));
    return Math.max(-1, ...numbers) + 1;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** What is known by its width, or said in lavis.json. */
  heads(
    said: number | undefined,
    known: Record<number, number>,
    width: number,
    key: string,
  ): number {
    const heads = said ?? known[width];
    if (heads === undefined) {
      throw this.fail(
        `has a width of ${width} whose attention heads cannot be told: write {"${key}": …} into lavis.json beside it`,
      );
    }
    return heads;
  }

  fail(why: string): CheckpointError {
    return new CheckpointError(`${this.#path} ${why}.`);
  }
}

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

function optConfig(shapes: Shapes, settings: LavisSettings, text: Members | null): Members {
  const decoder = 'language_model.model.decoder';
  const hidden_size = shapes.dim(`${decoder}.layers.0.fc1.weight`, 1);
  const said = text?.num_attention_heads;
  return {
    model_type: 'opt',
    vocab_size: shapes.dim(
      shapes.has(`${decoder}.embed_tokens.weight`)
        ? `${decoder}.embed_tokens.weight`
        : 'language_model.lm_head.weight',
      0,
    ),
    hidden_size,
    word_embed_proj_dim: hidden_size,
    ffn_dim: shapes.dim(`${decoder}.layers.0.fc1.weight`, 0),
    num_hidden_layers: shapes.count(`${decoder}.layers.`),
    max_position_embeddings: shapes.dim(`${decoder}.embed_positions.weight`, 0) - 2,
    num_attention_heads: shapes.heads(
      settings.text_heads ?? (typeof said === 'number' ? said : undefined),
      OPT_HEADS,
      hidden_size,
      'text_heads',
    ),
  };
}

/** LAVIS sets the gate to the exact GELU, whatever the config of FlanT5 says; the head is FlanT5's own, and not scaled. */
function t5Config(shapes: Shapes, text: Members | null): Members {
  const block = 'language_model.encoder.block.0.layer';
  const num_heads = shapes.dim(`${block}.0.SelfAttention.relative_attention_bias.weight`, 1);
  return {
    ...(text === null
      ? {
          feed_forward_proj: 'gated-gelu',
          tie_word_embeddings: false,
          scale_decoder_outputs: false,
        }
      : {}),
    model_type: 't5',
    vocab_size: shapes.dim('language_model.shared.weight', 0),
    d_model: shapes.dim('language_model.shared.weight', 1),
    d_kv: shapes.dim(`${block}.0.SelfAttention.q.weight`, 0) / num_heads,
    d_ff: shapes.dim(`${block}.1.DenseReluDense.wi_0.weight`, 0),
    num_layers: shapes.count('language_model.encoder.block.'),
    num_decoder_layers: shapes.count('language_model.decoder.block.'),
    num_heads,
    relative_attention_num_buckets: shapes.dim(
      `${block}.0.SelfAttention.relative_attention_bias.weight`,
      0,
    ),
    dense_act_fn: 'gelu',
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
