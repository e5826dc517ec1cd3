/** Every config key that transformers writes is known; a key that may change the model is refused by name. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectKnownConfig } from '@blip2/gpu-worker/builder/config/check-keys';
import {
  readGenerativeConfig,
  readKind,
  readRetrievalConfig,
} from '@blip2/gpu-worker/builder/config/model-config';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Config = Record<string, unknown> & Record<`${Part}_config`, Record<string, unknown>>;
type Part = 'vision' | 'qformer' | 'text';

const CONFIGS: Record<string, Config> = JSON.parse(
  readFileSync(new URL('../parity/golden/configs.json', import.meta.url), 'utf8'),
);

const folder = temporaryFolder();

/** Reads a config as a build does. */
async function read(config: Config, ignored: string[] = []) {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const kind = await readKind(folder);
  await expectKnownConfig(folder, kind, ignored);
  return kind === 'retrieve'
    ? await readRetrievalConfig(folder)
    : await readGenerativeConfig(folder);
}

/** One of the configs with some members changed; `null` is the top of the config. */
function changed(name: string, part: Part | null, members: Record<string, unknown>): Config {
  const config = structuredClone(CONFIGS[name]!);
  Object.assign(part === null ? config : config[`${part}_config`], members);
  return config;
}

describe('a config as transformers writes it', () => {
  it.each(Object.keys(CONFIGS))('for %s has no unknown key', async (name) => {
    expect(Object.keys(CONFIGS[name]!.vision_config).length).toBeGreaterThan(20);
    expect(await read(CONFIGS[name]!)).toMatchObject({ num_query_tokens: 32 });
  });

  it('may have unknown keys that are null, false or empty', async () => {
    const nothing = { a: null, b: false, c: '', d: [], e: {} };
    await read(changed('opt', 'text', nothing));
  });

  it('may name no architecture', async () => {
    await read(changed('opt', null, { architectures: null }));
  });

  it('may have the unknown keys that BLIP2_IGNORE_CONFIG lists, and no others', async () => {
    const config = changed('t5', 'text', { note: 'tuned on birds', rope_theta: 10000 });
    await read(config, ['text_config.note', 'text_config.rope_theta']);
    await expect(read(config, ['text_config.note', 'rope_theta'])).rejects.toThrow(
      /config\.json: the builder does not know text_config\.rope_theta = 10000\. .* set BLIP2_IGNORE_CONFIG=text_config\.note,rope_theta,text_config\.rope_theta;/,
    );
  });

  it.each<[string, Part | null, Record<string, unknown>, RegExp]>([
    ['opt', 'text', { rope_theta: 10000 }, /know text_config\.rope_theta = 10000\./],
    ['opt', 'text', { alibi: true }, /know text_config\.alibi = true/],
    ['opt', 'text', { pruned_heads: { 0: [1] } }, /know text_config\.pruned_heads = {"0":\[1\]}/],
    ['opt', 'vision', { window: 0 }, /know vision_config\.window = 0/],
    ['opt', 'qformer', { type_vocab_size: 2 }, /know qformer_config\.type_vocab_size = 2/],
    ['opt', null, { auto_map: { AutoModel: 'x.y' } }, /know auto_map = {"AutoModel":"x\.y"}/],
    [
      'retrieval',
      null,
      { quantization_config: { bits: 4 } },
      /know quantization_config.*else its weights are quantized: .*dequantize/,
    ],
    ['retrieval', 'qformer', { toString: 'x' }, /know qformer_config\.toString = "x"/],
    ['t5', 'text', { tie_encoder_decoder: true }, /know text_config\.tie_encoder_decoder = true/],
    ['t5', 'text', { suppress_tokens: [3] }, /know text_config\.suppress_tokens = \[3\]/],
    ['t5', null, { a: 1, b: 'x'.repeat(99) }, /know a = 1, b = "x{78}…\. .*CONFIG=a,b;/],
    ['opt', 'text', { _remove_final_layer_norm: true }, /_remove_final_layer_norm/],
    ['opt', 'text', { do_layer_norm_before: false }, /do_layer_norm_before/],
    ['opt', 'text', { enable_bias: false }, /text_config\.enable_bias = false: .*expected true/],
    ['opt', 'text', { layer_norm_elementwise_affine: false }, /layer_norm_elementwise_affine/],
    ['opt', 'text', { activation_function: 'gelu' }, /activation_function/],
    ['opt', 'text', { is_encoder_decoder: true }, /is_encoder_decoder/],
    ['opt', 'text', { word_embed_proj_dim: 512 }, /word_embed_proj_dim 512/],
    ['opt', 'text', { model_type: 'llama' }, /model_type is llama: only OPT and T5/],
    [
      'instruct',
      'text',
      { model_type: 'llama' },
      /text_config\.model_type is llama \(Vicuna\): of InstructBLIP only those on FlanT5 and OPT .* Use Salesforce\/instructblip-flan-t5-xl/,
    ],
    ['instruct', 'text', { model_type: 'gpt2' }, /model_type is gpt2: of InstructBLIP only/],
    ['instruct', null, { mystery: 1 }, /know mystery = 1/],
    ['instruct', 'vision', { mystery: 1 }, /know vision_config\.mystery = 1/],
    ['instruct', 'qformer', { mystery: 1 }, /know qformer_config\.mystery = 1/],
    ['instruct', 'qformer', { hidden_act: 'relu' }, /hidden_act/],
    ['instruct', 'qformer', { model_type: 'blip_2_qformer' }, /blip_2_qformer does not fit/],
    [
      'opt',
      'vision',
      { model_type: 'instructblip_vision_model' },
      /does not fit model_type blip-2/,
    ],
    ['opt', 'qformer', { use_qformer_text_input: true }, /use_qformer_text_input must be false/],
    [
      'opt',
      null,
      { architectures: ['InstructBlipForConditionalGeneration'] },
      /architectures InstructBlipForConditionalGeneration does not fit model_type blip-2/,
    ],
    [
      'instruct',
      null,
      { architectures: ['InstructBlipVideoForConditionalGeneration'] },
      /architecture InstructBlipVideoForConditionalGeneration is not supported/,
    ],
    ['opt', null, { use_decoder_only_language_model: false }, /use_decoder_only_language_model/],
    ['t5', null, { use_decoder_only_language_model: true }, /use_decoder_only_language_model/],
    ['t5', 'text', { feed_forward_proj: 'relu' }, /feed_forward_proj/],
    ['t5', 'text', { is_gated_act: false }, /is_gated_act/],
    ['t5', 'text', { dense_act_fn: 'silu' }, /dense_act_fn/],
    ['t5', 'text', { is_encoder_decoder: false }, /is_encoder_decoder/],
    [
      'opt',
      'vision',
      { hidden_act: 'silu' },
      /vision_config\.hidden_act = "silu": .*"gelu"\|"quick_gelu"/,
    ],
    ['opt', 'vision', { num_channels: 1 }, /num_channels/],
    ['opt', 'vision', { model_type: 'clip_vision_model' }, /model_type/],
    ['opt', 'vision', { image_size: [224, 280] }, /image_size/],
    ['opt', 'qformer', { position_embedding_type: 'relative_key' }, /position_embedding_type/],
    ['opt', 'qformer', { hidden_act: 'relu' }, /hidden_act/],
    ['retrieval', 'qformer', { use_qformer_text_input: false }, /use_qformer_text_input/],
  ])('%s with %s %o is refused', async (name, part, members, message) => {
    await expect(read(changed(name, part, members))).rejects.toThrow(message);
  });
});
