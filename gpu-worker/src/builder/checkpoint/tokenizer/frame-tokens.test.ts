/** Control tokens around a text, by the kind of post-processor. */
import { expect, it } from 'vitest';
import { frameTokens } from './frame-tokens.ts';

const text = { Sequence: { id: 'A', type_id: 0 } };
const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const template = {
  type: 'TemplateProcessing',
  single: [special('<s>'), special('<x>'), text, special('</s>')],
  pair: [],
  special_tokens: {
    '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] },
    '<x>': { id: '<x>', ids: [7, 8], tokens: ['<x', '>'] },
    '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] },
  },
};
const bert = { type: 'BertProcessing', sep: ['[SEP]', 102], cls: ['[CLS]', 101] };
const offsets = { type: 'ByteLevel', trim_offsets: true };

it.each<[string, unknown, { before: number[]; after: number[] } | null]>([
  ['none', null, null],
  ['TemplateProcessing', template, { before: [0, 7, 8], after: [2] }],
  ['BertProcessing', bert, { before: [101], after: [102] }],
  ['RobertaProcessing', { ...bert, type: 'RobertaProcessing' }, { before: [101], after: [102] }],
  ['ByteLevel', offsets, { before: [], after: [] }],
  [
    'Sequence',
    { type: 'Sequence', processors: [offsets, bert, template] },
    { before: [0, 7, 8, 101], after: [102, 2] },
  ],
])('%s', (_, postProcessor, frame) => {
  expect(frameTokens(postProcessor)).toEqual(frame);
});

it('of another kind is refused by name', () => {
  expect(() => frameTokens({ type: 'Magic' })).toThrow(/"Magic"/);
  const pair = { ...template, single: [text, { Sequence: { id: 'B', type_id: 1 } }] };
  expect(() => frameTokens(pair)).toThrow(/TemplateProcessing/);
});
