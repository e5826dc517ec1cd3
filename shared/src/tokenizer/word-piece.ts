/**
 * WordPiece of BERT's kind (the Q-Former's text side), with the character classes of `tokenizers`. The library's
 * classes gave other ids on one line in twelve of a corpus of many scripts.
 */
import * as z from 'zod/mini';
import { AddedTokens, hideControls } from './added-tokens.ts';
import type { TextTokenizer } from './text-tokenizer.ts';
import { DROPPED, NONSPACING_MARK, PUNCTUATION } from './unicode-8.ts';

const WordPieceFile = z.looseObject({
  added_tokens: AddedTokens,
  normalizer: z.looseObject({
    type: z.literal('BertNormalizer'),
    clean_text: z._default(z.boolean(), true),
    handle_chinese_chars: z._default(z.boolean(), true),
    strip_accents: z.optional(z.nullable(z.boolean())),
    lowercase: z._default(z.boolean(), true),
  }),
  pre_tokenizer: z.looseObject({ type: z.literal('BertPreTokenizer') }),
  model: z.looseObject({
    type: z.literal('WordPiece'),
    unk_token: z.string(),
    continuing_subword_prefix: z._default(z.string(), '##'),
    max_input_chars_per_word: z._default(z.int(), 100),
    vocab: z.record(z.string(), z.int()),
  }),
});
type WordPieceFile = z.infer<typeof WordPieceFile>;

/** @throws ZodError when the file is of another kind */
export function wordPiece(json: unknown): TextTokenizer {
  const { normalizer, model, added_tokens } = WordPieceFile.parse(json);
  const unknown = model.vocab[model.unk_token] ?? 0;
  const hidden = hideControls(added_tokens.filter(({ content }) => content !== model.unk_token));
  const vocab = new Map(Object.entries(model.vocab).map(([piece, id]) => [hidden(piece), id]));
  return {
    encode: (text) =>
      wordsOf(normalize(text, normalizer)).flatMap((word) => piecesOf(word, vocab, model, unknown)),
    // No text is ever generated with this vocabulary.
    bytesOf: () => new Uint8Array(),
  };
}

const WHITE_SPACE = /\p{White_Space}/u;
const IS_DROPPED = new RegExp(DROPPED, 'v');
const MARKS = new RegExp(NONSPACING_MARK, 'gv');
/** Ideographs, in the ranges of BERT's own code. */
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u;

function normalize(text: string, options: WordPieceFile['normalizer']): string {
  let normal = '';
  for (const character of text) {
    if (options.clean_text && IS_DROPPED.test(character)) continue;
    if (options.clean_text && WHITE_SPACE.test(character)) normal += ' ';
    else if (options.handle_chinese_chars && IDEOGRAPH.test(character)) normal += ` ${character} `;
    else normal += character;
  }
  if (options.strip_accents ?? options.lowercase) {
    normal = normal.normalize('NFD').replace(MARKS, '');
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
function piecesOf(
  word: string,
  vocab: ReadonlyMap<string, number>,
  model: WordPieceFile['model'],
  unknown: number,
): number[] {
  const letters = Array.from(word);
  if (letters.length > model.max_input_chars_per_word) return [unknown];
  const ids: number[] = [];
  for (let start = 0; start < letters.length; ) {
    const prefix = start === 0 ? '' : model.continuing_subword_prefix;
    let end = letters.length;
    let id: number | undefined;
    for (; end > start; end--) {
      id = vocab.get(prefix + letters.slice(start, end).join(''));
      if (id !== undefined) break;
    }
    if (id === undefined) return [unknown];
    ids.push(id);
    start = end;
  }
  return ids;
}
