/** Configs and tensors of the published checkpoints: every tensor's name and shape. */
import type { TOKENIZERS } from './tokenizers.ts';

export type TensorShape = readonly [name: string, shape: readonly number[]];

export type FullSize = {
  config: Record<string, unknown>;
  /** Token ids are below this; the last of them are filler. */
  vocabulary: number;
  tokenizer: keyof typeof TOKENIZERS;
  tensors: TensorShape[];
  /** Of InstructBLIP: the Q-Former has a tokenizer of its own, for so many tokens. */
  qformerVocabulary?: number;
};

const VISION = { hidden: 1408, mlp: 6144, layers: 39, patch: 14 };
/** Pixels a side: those tuned for COCO have larger images. */
const [USUAL, COCO] = [224, 364];
const QFORMER = { hidden: 768, mlp: 3072, layers: 12, queries: 32, every: 2 };

/** Layers of each model and tokens of the vocabulary, where fewer than the published ones will do. */
export type Cut = { layers: number; vocabulary: number };
const WHOLE: Cut = { layers: Number.POSITIVE_INFINITY, vocabulary: Number.POSITIVE_INFINITY };

export const FULL_SIZES = {
  'opt-2.7b': (cut = WHOLE) => generate('opt', opt(OPT_27, cut), USUAL, cut),
  'opt-2.7b-coco': (cut = WHOLE) => generate('opt', opt(OPT_27, cut), COCO, cut),
  'opt-6.7b': (cut = WHOLE) => generate('opt', opt(OPT_67, cut), USUAL, cut),
  'opt-6.7b-coco': (cut = WHOLE) => generate('opt', opt(OPT_67, cut), COCO, cut),
  'flan-t5-xl': (cut = WHOLE) => generate('t5', flanT5(FLAN_XL, cut), USUAL, cut),
  'flan-t5-xl-coco': (cut = WHOLE) => generate('t5', flanT5(FLAN_XL, cut), COCO, cut),
  'flan-t5-xxl': (cut = WHOLE) => generate('t5', flanT5(FLAN_XXL, cut), USUAL, cut),
  'instructblip-flan-t5-xl': (cut = WHOLE) => instruct(flanT5(FLAN_XL, cut), cut),
  'instructblip-flan-t5-xxl': (cut = WHOLE) => instruct(flanT5(FLAN_XXL, cut), cut),
  'itm-vit-g': (cut = WHOLE) => retrieve(USUAL, cut),
  'itm-vit-g-coco': (cut = WHOLE) => retrieve(COCO, cut),
} as const satisfies Record<string, (cut?: Cut) => FullSize>;
export type FullSizeName = keyof typeof FULL_SIZES;

const OPT_27 = { width: 2560, ffn: 10240 };
const OPT_67 = { width: 4096, ffn: 16384 };
const FLAN_XL = { width: 2048, ff: 5120, heads: 32 };
const FLAN_XXL = { width: 4096, ff: 10240, heads: 64 };

function linear(name: string, out: number, from: number, bias = true): TensorShape[] {
  const weight: TensorShape = [`${name}.weight`, [out, from]];
  return bias ? [weight, [`${name}.bias`, [out]]] : [weight];
}

function norm(name: string, width: number): TensorShape[] {
  return [
    [`${name}.weight`, [width]],
    [`${name}.bias`, [width]],
  ];
}

const repeat = (count: number, make: (i: number) => TensorShape[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat();

function vision(image: number, cut: Cut): TensorShape[] {
  const { hidden, mlp, patch } = VISION;
  const layers = Math.min(VISION.layers, cut.layers);
  const embeddings = 'vision_model.embeddings';
  return [
    [`${embeddings}.class_embedding`, [1, 1, hidden]],
    [`${embeddings}.position_embedding`, [1, (image / patch) ** 2 + 1, hidden]],
    [`${embeddings}.patch_embedding.weight`, [hidden, 3, patch, patch]],
    [`${embeddings}.patch_embedding.bias`, [hidden]],
    ...repeat(layers, (i) => {
      const block = `vision_model.encoder.layers.${i}`;
      return [
        ...norm(`${block}.layer_norm1`, hidden),
        ...norm(`${block}.layer_norm2`, hidden),
        ...linear(`${block}.self_attn.qkv`, 3 * hidden, hidden),
        ...linear(`${block}.self_attn.projection`, hidden, hidden),
        ...linear(`${block}.mlp.fc1`, mlp, hidden),
        ...linear(`${block}.mlp.fc2`, hidden, mlp),
      ];
    }),
    ...norm('vision_model.post_layernorm', hidden),
  ];
}

/** @param firstNorm name of the norm in front of the first block */
function qformer(readsText: boolean, cut: Cut, firstNorm = 'qformer.layernorm'): TensorShape[] {
  const { hidden, mlp, queries, every } = QFORMER;
  const layers = Math.min(QFORMER.layers, cut.layers);
  const attention = (prefix: string, keyWidth: number) => [
    ...linear(`${prefix}.attention.query`, hidden, hidden),
    ...linear(`${prefix}.attention.key`, hidden, keyWidth),
    ...linear(`${prefix}.attention.value`, hidden, keyWidth),
    ...linear(`${prefix}.output.dense`, hidden, hidden),
    ...norm(`${prefix}.output.LayerNorm`, hidden),
  ];
  const feedForward = (block: string, suffix: string) => [
    ...linear(`${block}.intermediate${suffix}.dense`, mlp, hidden),
    ...linear(`${block}.output${suffix}.dense`, hidden, mlp),
    ...norm(`${block}.output${suffix}.LayerNorm`, hidden),
  ];
  return [
    ['query_tokens', [1, queries, hidden]],
    ...norm(firstNorm, hidden),
    ...repeat(layers, (i) => {
      const block = `qformer.encoder.layer.${i}`;
      return [
        ...attention(`${block}.attention`, hidden),
        ...(i % every === 0 ? attention(`${block}.crossattention`, VISION.hidden) : []),
        ...(readsText ? feedForward(block, '') : []),
        ...feedForward(block, '_query'),
      ];
    }),
  ];
}

type Text = { config: Record<string, unknown>; width: number; tensors: TensorShape[] };

function opt({ width, ffn }: typeof OPT_27, cut: Cut): Text {
  const [layers, vocab] = [Math.min(32, cut.layers), Math.min(50304, cut.vocabulary)];
  const decoder = 'language_model.model.decoder';
  const tensors: TensorShape[] = [
    [`${decoder}.embed_tokens.weight`, [vocab, width]],
    [`${decoder}.embed_positions.weight`, [2050, width]],
    ...norm(`${decoder}.final_layer_norm`, width),
    ...repeat(layers, (i) => {
      const block = `${decoder}.layers.${i}`;
      return [
        ...['q', 'k', 'v', 'out'].flatMap((part) =>
          linear(`${block}.self_attn.${part}_proj`, width, width),
        ),
        ...norm(`${block}.self_attn_layer_norm`, width),
        ...linear(`${block}.fc1`, ffn, width),
        ...linear(`${block}.fc2`, width, ffn),
        ...norm(`${block}.final_layer_norm`, width),
      ];
    }),
  ];
  const config = {
    model_type: 'opt',
    vocab_size: vocab,
    hidden_size: width,
    ffn_dim: ffn,
    num_hidden_layers: layers,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    word_embed_proj_dim: width,
    eos_token_id: Math.min(50118, vocab - 1),
  };
  return { config, width, tensors };
}

function flanT5({ width, ff, heads }: typeof FLAN_XL, cut: Cut): Text {
  const size = 64;
  const [layers, vocab] = [Math.min(24, cut.layers), Math.min(32128, cut.vocabulary)];
  const inner = heads * size;
  const attention = (prefix: string) => [
    ...['q', 'k', 'v'].flatMap((part) => linear(`${prefix}.${part}`, inner, width, false)),
    ...linear(`${prefix}.o`, width, inner, false),
  ];
  const stack = (name: 'encoder' | 'decoder'): TensorShape[] => [
    [
      `language_model.${name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`,
      [32, heads],
    ],
    ...repeat(layers, (i) => {
      const block = `language_model.${name}.block.${i}`;
      const last = name === 'encoder' ? 1 : 2;
      const feedForward = `${block}.layer.${last}.DenseReluDense`;
      return [
        ...attention(`${block}.layer.0.SelfAttention`),
        ...(name === 'decoder' ? attention(`${block}.layer.1.EncDecAttention`) : []),
        ...linear(`${feedForward}.wi_0`, ff, width, false),
        ...linear(`${feedForward}.wi_1`, ff, width, false),
        ...linear(`${feedForward}.wo`, width, ff, false),
        ...Array.from(
          { length: last + 1 },
          (_, layer): TensorShape => [`${block}.layer.${layer}.layer_norm.weight`, [width]],
        ),
      ];
    }),
    [`language_model.${name}.final_layer_norm.weight`, [width]],
  ];
  const tensors: TensorShape[] = [
    ['language_model.shared.weight', [vocab, width]],
    ...stack('encoder'),
    ...stack('decoder'),
    ['language_model.lm_head.weight', [vocab, width]],
  ];
  const config = {
    model_type: 't5',
    vocab_size: vocab,
    d_model: width,
    d_ff: ff,
    d_kv: size,
    num_layers: layers,
    num_heads: heads,
    feed_forward_proj: 'gated-gelu',
    dense_act_fn: 'gelu',
    tie_word_embeddings: false,
  };
  return { config, width, tensors };
}

/** Configs have no more members than the published ones: the others have their defaults. */
const depth = (layers: number, cut: Cut) =>
  cut.layers < layers ? { num_hidden_layers: cut.layers } : {};

const visionConfig = (image: number, cut: Cut) => ({
  ...depth(VISION.layers, cut),
  ...(image === USUAL ? {} : { image_size: image }),
});

function generate(family: 'opt' | 't5', text: Text, image: number, cut: Cut): FullSize {
  const image_token_index = Math.min(family === 'opt' ? 50265 : 32100, cut.vocabulary - 1);
  return {
    config: {
      architectures: ['Blip2ForConditionalGeneration'],
      model_type: 'blip-2',
      image_token_index,
      num_query_tokens: QFORMER.queries,
      vision_config: visionConfig(image, cut),
      qformer_config: depth(QFORMER.layers, cut),
      text_config: text.config,
    },
    vocabulary: image_token_index,
    tokenizer: family === 'opt' ? 'bpe' : 'unigram',
    tensors: [
      ...vision(image, cut),
      ...qformer(false, cut),
      ...linear('language_projection', text.width, QFORMER.hidden),
      ...text.tensors,
    ],
  };
}

/** BERT's tokens, and [DEC]. */
const qformerTokens = (cut: Cut) => Math.min(30523, cut.vocabulary);

const words = (prefix: string, vocab: number): TensorShape[] => [
  [`${prefix}.word_embeddings.weight`, [vocab, QFORMER.hidden]],
  [`${prefix}.position_embeddings.weight`, [512, QFORMER.hidden]],
];

function instruct(text: Text, cut: Cut): FullSize {
  const { config, vocabulary, tokenizer } = generate('t5', text, USUAL, cut);
  const vocab = qformerTokens(cut);
  return {
    config: {
      ...config,
      architectures: ['InstructBlipForConditionalGeneration'],
      model_type: 'instructblip',
      qformer_config: { ...depth(QFORMER.layers, cut), vocab_size: vocab },
    },
    vocabulary,
    tokenizer,
    qformerVocabulary: vocab,
    tensors: [
      ...vision(USUAL, cut),
      ...words('qformer.embeddings', vocab),
      ...qformer(true, cut, 'qformer.embeddings.layernorm'),
      ...linear('language_projection', text.width, QFORMER.hidden),
      ...text.tensors,
    ],
  };
}

function retrieve(image: number, cut: Cut): FullSize {
  const [vocab, itc] = [qformerTokens(cut), 256];
  return {
    config: {
      architectures: ['Blip2ForImageTextRetrieval'],
      model_type: 'blip-2',
      num_query_tokens: QFORMER.queries,
      image_text_hidden_size: itc,
      vision_config: visionConfig(image, cut),
      qformer_config: {
        ...depth(QFORMER.layers, cut),
        use_qformer_text_input: true,
        vocab_size: vocab,
      },
    },
    vocabulary: vocab,
    tokenizer: 'wordpiece',
    tensors: [
      ...vision(image, cut),
      ...qformer(true, cut),
      ...words('embeddings', vocab),
      ...linear('vision_projection', itc, QFORMER.hidden),
      ...linear('text_projection', itc, QFORMER.hidden),
      ...linear('itm_head', 2, QFORMER.hidden),
    ],
  };
}
