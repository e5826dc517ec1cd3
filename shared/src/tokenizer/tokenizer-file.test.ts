/** Every key of a tokenizer.json is followed, or refused by name where that is not supported. */
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../tokenizer.ts';

type Json = Record<string, unknown>;
type File = Json & {
  normalizer: Json | null;
  pre_tokenizer: Json;
  decoder: Json | null;
  model: Json & { vocab: unknown };
  added_tokens: Json[];
};
type Edit = (file: File) => void;

const word = {
  id: 900,
  content: '<x>',
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: true,
  special: false,
};
const common = {
  version: '1.0',
  truncation: null,
  padding: null,
  post_processor: null,
  added_tokens: [word],
};
const bytes = Object.fromEntries(
  Array.from({ length: 256 }, (_, byte) => byte).map((byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte < 0xad) || byte > 0xad;
    return [String.fromCodePoint(printable ? byte : 0x100 + nth(byte)), byte];
  }),
);
/** How many bytes before this one have no printable character. */
function nth(byte: number): number {
  return byte < 0x21 ? byte : byte < 0xa1 ? 0x21 + byte - 0x7f : 0x43;
}

const metaspace = {
  type: 'Metaspace',
  replacement: '▁',
  prepend_scheme: 'always',
  split: true,
};
const FILES = {
  BPE: {
    ...common,
    normalizer: null,
    pre_tokenizer: {
      type: 'ByteLevel',
      add_prefix_space: false,
      trim_offsets: true,
      use_regex: true,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: { ...bytes, ab: 256, Ġa: 257, cab: 258 },
      merges: [
        ['a', 'b'],
        ['Ġ', 'a'],
      ],
    },
  },
  Unigram: {
    ...common,
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    decoder: metaspace,
    model: {
      type: 'Unigram',
      unk_id: 0,
      byte_fallback: false,
      vocab: [
        ['<unk>', 0],
        ['▁', -2],
        ['a', -3],
        ['b', -3],
        ['▁a', -4],
        ['ab', -4],
      ],
    },
  },
  WordPiece: {
    ...common,
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: { '[UNK]': 0, a: 1, '##b': 2, b: 3, A: 4, é: 5, e: 6 },
    },
  },
} as const;
type Type = keyof typeof FILES;

function altered(type: Type, edit: Edit): string {
  const file = structuredClone(FILES[type]) as unknown as File;
  edit(file);
  return JSON.stringify(file);
}

const set =
  (part: 'normalizer' | 'pre_tokenizer' | 'decoder' | 'model', key: string, value: unknown): Edit =>
  (file) => {
    file[part] = { ...file[part], [key]: value } as never;
  };
const put =
  (key: string, value: unknown): Edit =>
  (file) =>
    Object.assign(file, { [key]: value });

describe('a key of the tokenizer.json', () => {
  it.each<[Type, string, Edit]>([
    ['BPE', 'version = "2.0"', put('version', '2.0')],
    ['BPE', 'stemmer = "porter"', put('stemmer', 'porter')],
    ['BPE', 'normalizer.type = "NFC"', put('normalizer', { type: 'NFC' })],
    ['BPE', 'pre_tokenizer.type = "Whitespace"', put('pre_tokenizer', { type: 'Whitespace' })],
    ['BPE', 'pre_tokenizer.type = "Sequence"', put('pre_tokenizer', { type: 'Sequence' })],
    ['BPE', 'pre_tokenizer.behavior', set('pre_tokenizer', 'behavior', 'Isolated')],
    ['BPE', 'decoder.type = "BPEDecoder"', put('decoder', { type: 'BPEDecoder' })],
    ['BPE', 'model.dropout = 0.1', set('model', 'dropout', 0.1)],
    [
      'BPE',
      'model.continuing_subword_prefix = "##"',
      set('model', 'continuing_subword_prefix', '##'),
    ],
    ['BPE', 'model.end_of_word_suffix = "</w>"', set('model', 'end_of_word_suffix', '</w>')],
    ['BPE', 'model.byte_fallback = true', set('model', 'byte_fallback', true)],
    ['BPE', 'model.cache_capacity = 5', set('model', 'cache_capacity', 5)],
    ['BPE', 'the merge "a x"', set('model', 'merges', ['a b', 'a x'])],
    ['Unigram', 'normalizer.type = "NFKC"', put('normalizer', { type: 'NFKC' })],
    [
      'Unigram',
      'normalizer.normalizers.0.type = "Lowercase"',
      put('normalizer', { type: 'Sequence', normalizers: [{ type: 'Lowercase' }] }),
    ],
    [
      'Unigram',
      'normalizer.pattern.Regex = "a+"',
      put('normalizer', { type: 'Replace', pattern: { Regex: 'a+' }, content: '' }),
    ],
    [
      'Unigram',
      'normalizer.strip_left = true',
      put('normalizer', { type: 'Strip', strip_left: true, strip_right: true }),
    ],
    ['Unigram', 'pre_tokenizer', put('pre_tokenizer', null)],
    [
      'Unigram',
      'pre_tokenizer.replacement = "_"',
      put('pre_tokenizer', { ...metaspace, replacement: '_' }),
    ],
    [
      'Unigram',
      'pre_tokenizer.add_prefix_space = false',
      put('pre_tokenizer', { ...metaspace, add_prefix_space: false }),
    ],
    ['Unigram', 'decoder.type = "Replace"', put('decoder', { type: 'Replace' })],
    ['Unigram', 'model.byte_fallback = true', set('model', 'byte_fallback', true)],
    ['Unigram', 'model.unk_id = null', set('model', 'unk_id', null)],
    ['Unigram', 'model.alpha = 0.1', set('model', 'alpha', 0.1)],
    ['WordPiece', 'normalizer.type = "Lowercase"', put('normalizer', { type: 'Lowercase' })],
    ['WordPiece', 'normalizer.keep', set('normalizer', 'keep', ['ñ'])],
    ['WordPiece', 'pre_tokenizer.type', put('pre_tokenizer', { type: 'Whitespace' })],
    ['WordPiece', 'decoder.type = "CTC"', put('decoder', { type: 'CTC' })],
    ['WordPiece', 'unk_token "<unk>"', set('model', 'unk_token', '<unk>')],
    ['WordPiece', 'model.fuse_unk = true', set('model', 'fuse_unk', true)],
    ['WordPiece', 'added_tokens.0.id is missing', put('added_tokens', [{ content: 'x' }])],
    ['WordPiece', 'added_tokens.0.stem = true', put('added_tokens', [{ ...word, stem: true }])],
  ])(
    'of a tokenizer of the kind %s that is not supported is refused by name: %s',
    (type, message, edit) => {
      expect(() => createTokenizer(altered(type, edit))).toThrow(message);
    },
  );

  it.each<[Type, string, Edit, string, number[]]>([
    ['BPE', 'nothing', () => {}, ' ab<x>cab', [32, 256, 900, 99, 256]],
    ['BPE', 'truncation', put('truncation', { max_length: 1 }), 'a b', [97, 32, 98]],
    ['BPE', 'padding', put('padding', { strategy: { Fixed: 9 }, pad_id: 1 }), 'a', [97]],
    [
      'BPE',
      'add_prefix_space',
      set('pre_tokenizer', 'add_prefix_space', true),
      'a<x>a',
      [257, 900, 257],
    ],
    ['BPE', 'trim_offsets', set('pre_tokenizer', 'trim_offsets', false), ' a', [257]],
    ['BPE', 'use_regex', set('pre_tokenizer', 'use_regex', false), '. a', [46, 257]],
    ['BPE', 'ignore_merges', set('model', 'ignore_merges', true), 'cab', [258]],
    ['BPE', 'merges as texts', set('model', 'merges', ['#version: 0.2', 'a b']), 'ab', [256]],
    ['BPE', 'an unknown key that is null', set('model', 'later', null), 'ab', [256]],
    ['Unigram', 'nothing', () => {}, 'a ab<x>b', [4, 1, 5, 900, 1, 3]],
    [
      'Unigram',
      'prepend_scheme never',
      put('pre_tokenizer', { ...metaspace, prepend_scheme: 'never' }),
      'a a<x>b',
      [2, 4, 900, 3],
    ],
    [
      'Unigram',
      'prepend_scheme first',
      put('pre_tokenizer', { ...metaspace, prepend_scheme: 'first' }),
      'a<x>a',
      [4, 900, 2],
    ],
    [
      'Unigram',
      'add_prefix_space of older files',
      put('pre_tokenizer', {
        type: 'Metaspace',
        replacement: '▁',
        add_prefix_space: true,
        str_rep: '▁',
      }),
      'a',
      [4],
    ],
    [
      'BPE',
      'lower case, added words too',
      put('normalizer', { type: 'Lowercase' }),
      'AB<X>',
      [256, 900],
    ],
    // Not ς, which is for the end of a word: characters are taken one by one.
    ['BPE', 'lower case', put('normalizer', { type: 'Lowercase' }), 'BΣ', [0x62, 0xcf, 0x83]],
    [
      'BPE',
      'lower case, then another text in place of one',
      put('normalizer', {
        type: 'Sequence',
        normalizers: [
          { type: 'Lowercase' },
          { type: 'Replace', pattern: { String: 'b' }, content: '$&' },
        ],
      }),
      'BB',
      [0x24, 0x26, 0x24, 0x26],
    ],
    ['Unigram', 'unknown letters', () => {}, 'acdb', [4, 0, 3]],
    ['WordPiece', 'nothing', () => {}, 'AB <X>é', [1, 2, 900, 6]],
    ['WordPiece', 'lowercase', set('normalizer', 'lowercase', false), 'A é<x>', [4, 5, 900]],
    ['WordPiece', 'strip_accents', set('normalizer', 'strip_accents', false), 'É', [5]],
    ['WordPiece', 'no normalizer', put('normalizer', null), 'A', [4]],
    [
      'WordPiece',
      'max_input_chars_per_word',
      set('model', 'max_input_chars_per_word', 1),
      'ab',
      [0],
    ],
    [
      'WordPiece',
      'continuing_subword_prefix',
      set('model', 'continuing_subword_prefix', ''),
      'ab',
      [1, 3],
    ],
  ])('of a tokenizer of the kind %s is followed: %s', (type, _name, edit, text, ids) => {
    expect(createTokenizer(altered(type, edit)).encode(text)).toEqual(ids);
  });
});
