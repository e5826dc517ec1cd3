/** Unigram of SentencePiece's kind (T5). */
import { Tokenizer } from '@huggingface/tokenizers';
import * as z from 'zod/mini';
import { AddedTokens, hideControls } from './added-tokens.ts';
import { charsmapNormalizer } from './charsmap.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

const Precompiled = z.looseObject({
  type: z.literal('Precompiled'),
  precompiled_charsmap: z.string(),
});

/** The parts of `tokenizer.json` that are read here; the rest is the library's. */
const UnigramFile = z.looseObject({
  added_tokens: AddedTokens,
  normalizer: z.optional(z.nullable(z.looseObject({ type: z.string() }))),
  pre_tokenizer: z.unknown(),
  model: z.looseObject({
    type: z.literal('Unigram'),
    vocab: z.array(z.tuple([z.string(), z.number()])),
  }),
});

/** T5's: words, each with a mark in front. */
const SplitsAtSpace = z.looseObject({
  type: z.literal('Sequence'),
  pretokenizers: z.tuple([
    z.looseObject({ type: z.literal('WhitespaceSplit') }),
    z.looseObject({ type: z.literal('Metaspace') }),
  ]),
});

/** What SentencePiece writes for a space. */
const SPACE = /▁/g;

/** @throws ZodError when the file is of another kind */
export function unigram(json: unknown): TextTokenizer {
  const file = UnigramFile.parse(json);
  const hidden = hideControls(file.added_tokens);
  const { normalize, rest } = splitNormalizer(file.normalizer ?? null);
  const splits = SplitsAtSpace.safeParse(file.pre_tokenizer).success;
  const plain = {
    ...file,
    pre_tokenizer: splits ? null : file.pre_tokenizer,
    added_tokens: [],
    post_processor: null,
    normalizer: rest,
    model: {
      ...file.model,
      vocab: file.model.vocab.map(([piece, score]) => [hidden(piece), score] as const),
    },
  };
  const library = new Tokenizer(plain, {});
  const controls = new Set(file.added_tokens.filter(({ special }) => special).map(({ id }) => id));
  const encoder = new TextEncoder();
  const nothing = new Uint8Array();
  return {
    encode: (text) => {
      const normal = normalize(text);
      const parts = splits ? wordsOf(normal) : [normal];
      return parts.flatMap((part) => idsOf(library, part));
    },
    bytesOf: (id) => {
      const piece = file.model.vocab[id]?.[0];
      if (piece === undefined || controls.has(id)) return nothing;
      return encoder.encode(piece.replace(SPACE, ' '));
    },
  };
}

function idsOf(library: Tokenizer, text: string): number[] {
  return text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids;
}

/** Words with SentencePiece's mark in front; U+FEFF, white space to JavaScript alone, is a letter here. */
function wordsOf(text: string): string[] {
  return (text.match(/\P{White_Space}+/gu) ?? []).map((word) => `▁${word}`);
}

/** The character map is ours, applied first; what may follow it is left to the library. */
function splitNormalizer(normalizer: Record<string, unknown> | null): {
  normalize: (text: string) => string;
  rest: unknown;
} {
  const list = normalizer?.type === 'Sequence' ? normalizer.normalizers : [normalizer];
  const [first, ...others] = z.array(z.unknown()).parse(list);
  const map = Precompiled.safeParse(first);
  if (!map.success) return { normalize: (text) => text, rest: normalizer };
  return {
    normalize: charsmapNormalizer(map.data.precompiled_charsmap),
    rest: others.length === 0 ? null : { type: 'Sequence', normalizers: others },
  };
}
