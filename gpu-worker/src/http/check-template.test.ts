import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { ApiError } from '@blip2/shared/errors';
import { describe, expect, it } from 'vitest';
import { checkTemplate, promptTemplate, type Template, textTemplate } from './check-template.ts';

const opt = promptTemplate({
  family: 'opt',
  ...{ bos_token_id: 2, eos_token_ids: [2, 50118], pad_token_id: 1 },
  decoder: { image_token_id: 50265 },
} as GenerativeManifest);
const t5 = promptTemplate({
  family: 't5',
  ...{ bos_token_id: 0, eos_token_ids: [1], pad_token_id: 0, decoder_start_token_id: 0 },
  decoder: { image_token_id: 32100 },
} as GenerativeManifest);
/** Whose padding is the line break that ends its answers. */
const padsWithBreaks = promptTemplate({
  family: 'opt',
  ...{ bos_token_id: 2, eos_token_ids: [202], pad_token_id: 202 },
  decoder: { image_token_id: 1108 },
} as GenerativeManifest);
const text = textTemplate({
  ...{ vocab: 500, max_positions: 64 },
  ...{ cls_token_id: 101, sep_token_id: 102, pad_token_id: 0 },
});

function refusalOf(ids: number[], template: Template): string | undefined {
  try {
    checkTemplate('input_ids', ids, template);
    return undefined;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ApiError);
    const { slug, extras, message } = thrown as ApiError;
    expect([slug, extras.field]).toEqual(['invalid-request', 'input_ids']);
    return message;
  }
}

describe('ids of a text', () => {
  it.each<[string, number[], Template]>([
    ['of OPT behind its first token', [2, 45, 16], opt],
    ['of OPT that is empty', [2], opt],
    ['of OPT with a line break, which ends answers', [2, 45, 50118, 16], opt],
    ['with a line break that is also the padding', [2, 45, 202, 16], padsWithBreaks],
    ['of T5 before its last token', [45, 16, 1], t5],
    ['of the Q-Former', [101, 7, 102], text],
    ['of the Q-Former that is empty', [101, 102], text],
  ])('%s are accepted', (_name, ids, template) => {
    expect(refusalOf(ids, template)).toBeUndefined();
  });

  it.each<[string, number[], Template, string]>([
    ['placeholder of an image', [2, 45, 50265], opt, 'control token 50265 at position 2'],
    ['second first token', [2, 2], opt, 'control token 2 at position 1'],
    ['padding', [2, 1, 45], opt, 'control token 1 at position 1'],
    ['missing first token', [45, 16], opt, "this model's template, [2, …]"],
    ['no ids at all', [], opt, "this model's template, [2, …]"],
    ['end in the middle', [45, 1, 16, 1], t5, 'control token 1 at position 1'],
    ["decoder's first token", [0, 1], t5, 'control token 0 at position 0'],
    ['placeholder for T5', [32100, 1], t5, 'control token 32100 at position 0'],
    ['missing end', [45], t5, "this model's template, […, 1]"],
    ['second [SEP]', [101, 7, 102, 8, 102], text, 'control token 102 at position 2'],
    ['[CLS] in the middle', [101, 101, 102], text, 'control token 101 at position 1'],
    ['text that is one token for both', [101], text, '[101, …, 102]'],
  ])('with a %s are refused', (_name, ids, template, expected) => {
    expect(refusalOf(ids, template)).toContain(expected);
  });
});
