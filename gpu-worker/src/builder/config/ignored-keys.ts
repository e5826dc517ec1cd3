/**
 * Keys of a checkpoint's config.json that change nothing of what a bundle computes, as transformers 4.27 to 5.18 write
 * them. A key that is null, false or empty is ignored anyway and need not be listed; a key that changes the
 * computation when it is set (`pruned_heads`, `tie_encoder_decoder`, `quantization_config`) must not be.
 */

/** Of every section: where it comes from, what Python returns, classifiers' labels, and training. */
const EVERY_SECTION = [
  '_name_or_path',
  'name_or_path',
  '_commit_hash',
  'architectures',
  'transformers_version',
  'dtype',
  'torch_dtype',
  '_attn_implementation',
  '_attn_implementation_autoset',
  'attn_implementation',
  'torchscript',
  'use_bfloat16',
  'tf_legacy_loss',
  'use_cache',
  'gradient_checkpointing',
  'chunk_size_feed_forward',
  'return_dict',
  'return_dict_in_generate',
  'output_attentions',
  'output_hidden_states',
  'output_scores',
  'finetuning_task',
  'task_specific_params',
  'problem_type',
  'id2label',
  'label2id',
  'num_labels',
  'prefix',
  'tokenizer_class',
  'initializer_factor',
  'initializer_range',
];

/** How to generate where a request says nothing: generation-config.ts honors or refuses what these say. */
const GENERATION = [
  'max_length',
  'min_length',
  'do_sample',
  'early_stopping',
  'num_beams',
  'num_beam_groups',
  'num_return_sequences',
  'temperature',
  'top_k',
  'top_p',
  'typical_p',
  'diversity_penalty',
  'length_penalty',
  'repetition_penalty',
  'no_repeat_ngram_size',
  'encoder_no_repeat_ngram_size',
];

const COMMON = [...EVERY_SECTION, ...GENERATION];

/** Dropout, which only training has, in both families' words. */
const DROPOUT = ['dropout', 'attention_dropout', 'activation_dropout', 'layerdrop'];

export const IGNORED_KEYS = {
  generate: [...COMMON, 'image_text_hidden_size', 'is_encoder_decoder', 'tie_word_embeddings'],
  /** A retrieval checkpoint has no language model: its `text_config` is the default of the class. */
  retrieve: [
    ...COMMON,
    'image_token_index',
    'is_encoder_decoder',
    'text_config',
    'tie_word_embeddings',
    'use_decoder_only_language_model',
  ],
  /** `projection_dim` was copied from CLIP's config: no layer has it. */
  vision_config: [...COMMON, ...DROPOUT, 'projection_dim', 'tie_word_embeddings'],
  qformer_config: [
    ...COMMON,
    'attention_probs_dropout_prob',
    'hidden_dropout_prob',
    'classifier_dropout',
    'pad_token_id',
    'tie_word_embeddings',
  ],
  opt: [...COMMON, ...DROPOUT, 'init_std'],
  /** Positions are relative, whatever `n_positions` is; transformers sets `is_decoder` for each stack. */
  t5: [...COMMON, 'dropout_rate', 'classifier_dropout', 'is_decoder', 'n_positions', 'output_past'],
} as const satisfies Record<string, readonly string[]>;
