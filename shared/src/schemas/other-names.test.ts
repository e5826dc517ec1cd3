import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { CaptionRequest } from './captions.ts';
import { otherOption, SAME_OPTION, UNKNOWN_FIELDS } from './other-names.ts';

const { properties = {} } = z.toJSONSchema(CaptionRequest, { io: 'input' });

describe.each(Object.entries(SAME_OPTION))('%s', (other, ours) => {
  it(`is described as another name of ${ours}, with its limits`, () => {
    const { description, ...schema } = properties[other] as z.core.JSONSchema.BaseSchema;
    expect(description).toContain(`\`${ours}\``);
    expect(schema).toMatchObject({ type: 'integer' });
    const { description: _, examples: __, ...same } = properties[ours] as typeof schema;
    expect(schema).toMatchObject(same);
  });
});

it('what is not taken is no field, and what to write instead is one', () => {
  for (const name of Object.keys(UNKNOWN_FIELDS)) expect(properties).not.toHaveProperty(name);
});

it.each([
  ['max_length', 'use max_tokens, which counts the tokens of the new text alone'],
  ['num_predict', 'use max_tokens'],
  ['beam_size', 'use num_beams'],
  ['color', undefined],
])('%s of an option is another name, where that is taken', (name, remedy) => {
  expect(otherOption(name, (other) => Object.hasOwn(properties, other))).toBe(remedy);
  expect(otherOption(name, () => false)).toBeUndefined();
});
