/** Of the published models' shapes, the derived config is that of the published checkpoints, heads and depth included. */
import { lavisConfig } from '@blip2/gpu-worker/builder/checkpoint/lavis-config';
import { Shapes } from '@blip2/gpu-worker/builder/checkpoint/shapes';
import { zeros } from '@blip2/gpu-worker/builder/checkpoint/tensor-source';
import { GenerativeConfig, RetrievalConfig } from '@blip2/gpu-worker/builder/config/model-config';
import { describe, expect, it } from 'vitest';
import { FULL_SIZES, type FullSizeName } from '../../tools/synthetic-checkpoints/checkpoints.ts';

/** InstructBLIP is not read from LAVIS's files. */
const NAMES = (Object.keys(FULL_SIZES) as FullSizeName[]).filter(
  (name) => !name.startsWith('instruct'),
);

describe.each(NAMES)('a full-size %s', (name) => {
  it('needs no settings', () => {
    const { tensors, config } = FULL_SIZES[name]();
    const shapes = new Shapes(
      new Map(tensors.map(([tensor, shape]) => [tensor, zeros(shape)])),
      name,
    );
    const kind = name.startsWith('itm') ? 'retrieve' : name.startsWith('opt') ? 'opt' : 't5';
    const schema = kind === 'retrieve' ? RetrievalConfig : GenerativeConfig;
    // Tokens are the tokenizer's business.
    const tokens = { image_token_index: 0, text_config: {} };
    const parsed = (json: Record<string, unknown>) => ({
      ...schema.parse(json),
      architectures: json.architectures,
      use_decoder_only_language_model: kind === 'opt',
      ...tokens,
    });
    const derived = lavisConfig(shapes, kind, {}, null);
    expect(parsed(derived)).toEqual({
      ...parsed(config),
      vision_config: { ...schema.parse(config).vision_config, model_type: 'blip_2_vision_model' },
      qformer_config: { ...schema.parse(config).qformer_config, model_type: 'blip_2_qformer' },
    });
    if (kind === 'retrieve') return;
    const { eos_token_id: _, ...text } = GenerativeConfig.parse(config).text_config;
    expect(GenerativeConfig.parse(derived).text_config).toMatchObject(
      kind === 't5' ? { ...text, tie_word_embeddings: false } : text,
    );
  });
});
