/** A model file of SentencePiece is read as T5's tokenizer needs it, or refused by what it does otherwise. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import {
  ModelProtoSchema,
  TrainerSpec_ModelType as ModelType,
  SentencePiece_Type as PieceType,
} from './generated/sentencepiece_pb.ts';
import { readSentencePiece } from './sentencepiece.ts';

type Model = MessageInitShape<typeof ModelProtoSchema>;

const pieces = [
  { piece: '<pad>', type: PieceType.CONTROL },
  { piece: '<unk>', type: PieceType.UNKNOWN },
  { piece: '<loc>', type: PieceType.USER_DEFINED },
  { piece: '▁a', score: -1.5 },
];
const bytesOf = (model: Model) => toBinary(ModelProtoSchema, create(ModelProtoSchema, model));
const read = (model: Model) => readSentencePiece(bytesOf(model), 'spiece.model');

it('pieces, scores, roles and the character map are read', () => {
  const normalizerSpec = { precompiledCharsmap: Uint8Array.of(1, 2, 3) };
  expect(read({ pieces, normalizerSpec })).toEqual({
    pieces: [
      ['<pad>', 0],
      ['<unk>', 0],
      ['<loc>', 0],
      ['▁a', -1.5],
    ],
    unknownId: 1,
    controls: ['<pad>'],
    userDefined: ['<loc>'],
    charsmap: 'AQID',
  });
  expect(read({ pieces }).charsmap).toBeNull();
});

it.each<[string, Model]>([
  ['a model_type that is not unigram', { pieces, trainerSpec: { modelType: ModelType.BPE } }],
  ['treat_whitespace_as_suffix', { pieces, trainerSpec: { treatWhitespaceAsSuffix: true } }],
  ['byte_fallback', { pieces, trainerSpec: { byteFallback: true } }],
  ['byte_fallback', { pieces: [...pieces, { piece: '<0x00>', type: PieceType.BYTE }] }],
  ['unused pieces', { pieces: [...pieces, { piece: 'x', type: PieceType.UNUSED }] }],
  ['0 unknown pieces', { pieces: pieces.slice(2) }],
  ['add_dummy_prefix false', { pieces, normalizerSpec: { addDummyPrefix: false } }],
  ['remove_extra_whitespaces false', { pieces, normalizerSpec: { removeExtraWhitespaces: false } }],
  ['escape_whitespaces false', { pieces, normalizerSpec: { escapeWhitespaces: false } }],
  ['a denormalizer', { pieces, denormalizerSpec: { precompiledCharsmap: Uint8Array.of(1) } }],
])('%s is refused by name', (reason, model) => {
  expect(() => read(model)).toThrow(`spiece.model: not supported: ${reason}`);
});

it('more pieces than any model has are refused before one is made', () => {
  const bytes = Uint8Array.from({ length: 1_000_002 }, (_, i) => (i % 2 === 0 ? 0x0a : 0));
  expect(() => readSentencePiece(bytes, 'spiece.model')).toThrow(
    /spiece\.model: the list of pieces has 500001 entries, and at most 500000 are supported/,
  );
});

it('a file that is none is refused', () => {
  const text = new TextEncoder().encode('version https://example.org/spec');
  expect(() => readSentencePiece(text, 'spiece.model')).toThrow(/spiece\.model/);
});
