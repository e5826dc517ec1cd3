/** The language model's config of a checkpoint of LAVIS: its base's, and what LAVIS changes of it. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { parseOrThrow } from '../config/schema-helpers.ts';
import { CheckpointError } from '../errors.ts';
import type { LavisKind } from './lavis-names.ts';
import { LAVIS_SETTINGS, type LavisSettings } from './lavis-settings.ts';
import type { OpenCheckpoint } from './open-checkpoint-types.ts';
import { readJson } from './read-json.ts';
import type { Shapes } from './shapes.ts';

type Members = Record<string, unknown>;

/** Heads are in no shape: those of the published OPTs, by width. */
const OPT_HEADS: Record<number, number> = { 2560: 32, 4096: 32 };

export function optConfig(shapes: Shapes, settings: LavisSettings, text: Members | null): Members {
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
export function t5Config(shapes: Shapes, text: Members | null): Members {
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

const Config = z.record(z.string(), z.unknown());

/** `text_config`, and what the base says of image tokens. */
export async function textConfig(
  base: OpenCheckpoint,
  kind: LavisKind,
  settings: LavisSettings,
): Promise<{ config: Members; beside: Members }> {
  const path = join(base.folder, 'config.json');
  const config = parseOrThrow(Config, await readJson(path), path);
  const isBlip2 = config.model_type === 'blip-2';
  const text = isBlip2 ? Config.safeParse(config.text_config).data : config;
  if (kind !== 'retrieve' && text?.model_type !== kind) {
    throw new CheckpointError(
      `${LAVIS_SETTINGS} names the base ${settings.base}, whose language model is ${String(text?.model_type ?? 'none')}: the checkpoint is made for ${kind}.`,
    );
  }
  const { image_token_index } = config;
  return { config: text ?? {}, beside: isBlip2 && image_token_index ? { image_token_index } : {} };
}

const Vocabulary = z.looseObject({
  model: z.looseObject({ vocab: z.record(z.string(), z.int()) }),
});
/** A line's end in byte-level BPE. */
const LINE_END = 'Ċ';

/** LAVIS ends OPT's texts with a line's end, and OPT's own config does not know of it. */
export async function setEndOfText(
  config: Members,
  {
    folder,
    base,
    settings,
  }: { folder: string; base: OpenCheckpoint | null; settings: LavisSettings },
): Promise<void> {
  const text = config.text_config as Members;
  if (settings.eos_token_id !== undefined) {
    text.eos_token_id = settings.eos_token_id;
    return;
  }
  if (base?.tensors.has('query_tokens')) return;
  for (const place of [folder, base?.folder]) {
    if (place === undefined) continue;
    const file = Vocabulary.safeParse(await readJson(join(place, 'tokenizer.json'), null));
    const id = file.data?.model.vocab[LINE_END];
    if (id === undefined) continue;
    text.eos_token_id = id;
    return;
  }
  throw new CheckpointError(
    `${folder}: no tokenizer.json says which token ends a line, which is how LAVIS's OPT ends a text. Write {"eos_token_id": …} into ${LAVIS_SETTINGS}.`,
  );
}
