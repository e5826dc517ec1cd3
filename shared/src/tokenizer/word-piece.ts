/**
 * WordPiece of BERT's kind (the Q-Former's text side), with the character classes of `tokenizers`. The library's
 * classes gave other ids on one line in twelve of a corpus of many scripts.
 */
import * as z from 'zod/mini';
import { encodeWithWords, hideControls, isNormalized } from './added-tokens.ts';
import { decompose } from './decompose.ts';
import type { TextTokenizer } from './text-tokenizer.ts';
import { COMMON_KEYS, knownKeys, parseTokenizer } from './tokenizer-file.ts';
import { DROPPED, NONSPACING_MARK, PUNCTUATION } from './unicode-8.ts';

const BertNormalizer = knownKeys({
  type: z.literal('BertNormalizer'),
  clean_text: z._default(z.boolean(), true),
  handle_chinese_chars: z._default(z.boolean(), true),
  strip_accents: z.optional(z.nullable(z.boolean())),
  lowercase: z._default(z.boolean(), true),
});
type BertNormalizer = z.infer<typeof BertNormalizer>;

const WordPieceFile = knownKeys({
  ...COMMON_KEYS,
  normalizer: z.optional(z.nullable(BertNormalizer)),
  pre_tokenizer: knownKeys({ type: z.literal('BertPreTokenizer') }),
  decoder: z.optional(
    z.nullable(
      knownKeys({
        type: z.literal('WordPiece'),
        prefix: z._default(z.string(), '##'),
        cleanup: z._default(z.boolean(), true),
      }),
    ),
  ),
  model: knownKeys({
    type: z.literal('WordPiece'),
    unk_token: z.string(),
    continuing_subword_prefix: z._default(z.string(), '##'),
    max_input_chars_per_word: z._default(z.int(), 100),
    vocab: z.record(z.string(), z.int()),
  }),
});
type WordPieceFile = z.infer<typeof WordPieceFile>;

/** @throws Error naming what the file asks for and is not done here */
export function wordPiece(json: unknown): TextTokenizer {
  const file = parseTokenizer(WordPieceFile, json);
  const { normalizer, model, added_tokens } = file;
  const unknown = model.vocab[model.unk_token];
  if (unknown === undefined) {
    throw new Error(`tokenizer.json: unk_token "${model.unk_token}" is not in the vocabulary`);
  }
  const hidden = hideControls(added_tokens.filter(({ content }) => content !== model.unk_token));
  const vocab = new Map(Object.entries(model.vocab).map(([piece, id]) => [hidden(piece), id]));
  const normalize = (text: string) => (normalizer == null ? text : normalizeBert(text, normalizer));
  const words = added_tokens.filter(({ special }) => !special);
  const piecesOf = longestPieces(vocab, model, unknown);
  const encode = encodeWithWords(words, normalize, ({ text }) => wordsOf(text).flatMap(piecesOf));
  return { encode, bytesOf: decoder(file, normalize) };
}

/** Each token's text with the space in front of it that a new word has. */
function decoder(
  { added_tokens, model, decoder }: WordPieceFile,
  normalize: (text: string) => string,
): (id: number) => Uint8Array {
  const pieces = new Map(Object.entries(model.vocab).map(([piece, id]) => [id, piece]));
  for (const token of added_tokens) {
    if (token.special) pieces.delete(token.id);
    else pieces.set(token.id, isNormalized(token) ? normalize(token.content) : token.content);
  }
  const prefix = decoder?.prefix ?? '';
  const encoder = new TextEncoder();
  const nothing = new Uint8Array();
  return (id) => {
    const piece = pieces.get(id);
    if (piece === undefined) return nothing;
    const continues = prefix !== '' && piece.startsWith(prefix);
    const text = continues ? piece.slice(prefix.length) : ` ${piece}`;
    return encoder.encode(decoder?.cleanup === true ? cleanUp(text) : text);
  };
}

/** English punctuation and contractions without the space in front. */
function cleanUp(text: string): string {
  return text
    .replace(/ ([.?!,])/g, '$1')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replace(/ '(s|ve|re)/g, "'$1");
}

const WHITE_SPACE = /\p{White_Space}/u;
const IS_DROPPED = new RegExp(DROPPED, 'v');
const MARKS = new RegExp(NONSPACING_MARK, 'gv');
/** Ideographs, in the ranges of BERT's own code. */
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u;

function normalizeBert(text: string, options: BertNormalizer): string {
  let normal = '';
  for (const character of text) {
    if (options.clean_text && IS_DROPPED.test(character)) continue;
    if (options.clean_text && WHITE_SPACE.test(character)) normal += ' ';
    else if (options.handle_chinese_chars && IDEOGRAPH.test(character)) normal += ` ${character} `;
    else normal += character;
  }
  if (options.strip_accents ?? options.lowercase) {
    normal = decompose(normal).replace(MARKS, '');
  }
  // Letter by letter: a final sigma is no special case.
  return options.lowercase ? Array.from(normal, (letter) => letter.toLowerCase()).join('') : normal;
}

const PARTS = new RegExp(`${PUNCTUATION}|[^\\p{White_Space}${PUNCTUATION}]+`, 'gv');

/** Words, and punctuation a character at a time. */
function wordsOf(text: string): string[] {
  return text.match(PARTS) ?? [];
}

/** The longest pieces first, from left to right; a word that cannot be made of pieces is unknown. */
function longestPieces(
  vocab: ReadonlyMap<string, number>,
  { max_input_chars_per_word, continuing_subword_prefix }: WordPieceFile['model'],
  unknown: number,
): (word: string) => number[] {
  const tails = new Map<string, number>();
  for (const [piece, id] of vocab) {
    if (piece.startsWith(continuing_subword_prefix)) {
      tails.set(piece.slice(continuing_subword_prefix.length), id);
    }
  }
  const [first, next] = [piecesIn(vocab), piecesIn(tails)];
  return (word) => {
    const letters = Array.from(word);
    if (letters.length > max_input_chars_per_word) return [unknown];
    const ids: number[] = [];
    for (let start = 0; start < word.length; ) {
      const { pieces, longest } = start === 0 ? first : next;
      let end = Math.min(word.length, start + longest);
      let id: number | undefined;
      for (; end > start; end--) {
        if (isWithinLetter(word, end)) continue;
        id = pieces.get(word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unknown];
      ids.push(id);
      start = end;
    }
    return ids;
  };
}

/** @property longest length of a piece. Nothing longer is looked up: of a word that is all single letters, each would be with all that follow */
type Pieces = { pieces: ReadonlyMap<string, number>; longest: number };

function piecesIn(pieces: ReadonlyMap<string, number>): Pieces {
  const longest = [...pieces.keys()].reduce((most, piece) => Math.max(most, piece.length), 0);
  return { pieces, longest };
}

/** Whether a place is between the halves of a surrogate pair. */
function isWithinLetter(word: string, at: number): boolean {
  return at < word.length && (word.charCodeAt(at) & 0xfc00) === 0xdc00;
}
