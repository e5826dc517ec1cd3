/** Unigram of SentencePiece's kind (T5). */
import * as z from 'zod/mini';
import { encodeWithWords, hideControls, isNormalized } from './added-tokens.ts';
import { charsmapNormalizer } from './charsmap.ts';
import { CLEAN_UP, createCleaner } from './clean-up.ts';
import type { TextTokenizer } from './text-tokenizer.ts';
import { COMMON_KEYS, Ignored, knownKeys, parseTokenizer } from './tokenizer-file.ts';
import { mostLikelyPieces } from './unigram-path.ts';

/** What SentencePiece writes for a space. */
const MARK = '▁';

const Precompiled = knownKeys({
  type: z.literal('Precompiled'),
  precompiled_charsmap: z.string(),
});
/** Several spaces in a row: the one that conversions from SentencePiece write. */
const Replace = knownKeys({
  type: z.literal('Replace'),
  pattern: z.strictObject({ Regex: z.literal(' {2,}') }),
  content: z.string(),
});
const Strip = knownKeys({
  type: z.literal('Strip'),
  strip_left: z.literal(false),
  strip_right: z.boolean(),
});
const Step = z.discriminatedUnion('type', [Precompiled, Replace, Strip]);
const Steps = knownKeys({ type: z.literal('Sequence'), normalizers: z.array(Step) });
const Normalizer = z.discriminatedUnion('type', [Precompiled, Replace, Strip, Steps]);

const Metaspace = knownKeys({
  type: z.literal('Metaspace'),
  replacement: z.literal(MARK),
  prepend_scheme: z._default(z.enum(['always', 'first', 'never']), 'always'),
  split: z._default(z.boolean(), true),
  /** Older files have it in place of the scheme. */
  add_prefix_space: z.optional(z.literal(true)),
  str_rep: z.optional(z.literal(MARK)),
});
type Metaspace = z.infer<typeof Metaspace>;
const AtWhiteSpace = knownKeys({
  type: z.literal('Sequence'),
  pretokenizers: z.tuple([knownKeys({ type: z.literal('WhitespaceSplit') }), Metaspace]),
});

const MarksToSpaces = knownKeys({
  type: z.literal('Metaspace'),
  replacement: z.literal(MARK),
  // They say what becomes of white space at the start, and nothing is made of it.
  prepend_scheme: Ignored,
  add_prefix_space: Ignored,
  split: Ignored,
  str_rep: Ignored,
});
/** With the replacements of `clean-up.ts` behind it, and no others. */
const CleaningUp = knownKeys({
  type: z.literal('Sequence'),
  decoders: z.tuple([
    MarksToSpaces,
    knownKeys({ type: z.literal('Fuse') }),
    ...CLEAN_UP.map(([found, replacement]) =>
      knownKeys({
        type: z.literal('Replace'),
        pattern: z.strictObject({ String: z.literal(found) }),
        content: z.literal(replacement),
      }),
    ),
  ]),
});

const UnigramFile = knownKeys({
  ...COMMON_KEYS,
  normalizer: z.optional(z.nullable(Normalizer)),
  pre_tokenizer: z.discriminatedUnion('type', [Metaspace, AtWhiteSpace]),
  decoder: z.discriminatedUnion('type', [MarksToSpaces, CleaningUp]),
  model: knownKeys({
    type: z.literal('Unigram'),
    unk_id: z.int(),
    byte_fallback: z.optional(z.literal(false)),
    vocab: z.array(z.tuple([z.string(), z.number()])),
  }),
});

/** @throws Error naming what the file asks for and is not done here */
export function unigram(json: unknown): TextTokenizer {
  const file = parseTokenizer(UnigramFile, json);
  const { added_tokens, model, normalizer, pre_tokenizer, decoder } = file;
  const hidden = hideControls(added_tokens);
  const pieces = model.vocab.map(([piece, score]) => [hidden(piece), score] as const);
  const encodeWord = mostLikelyPieces(pieces, model.unk_id);
  const normalize = normalizerOf(normalizer ?? null);
  const split = wordSplitter(pre_tokenizer);
  const words = added_tokens.filter(({ special }) => !special);
  const encode = encodeWithWords(words, normalize, ({ text, isStart }) =>
    split(text, isStart).flatMap(encodeWord),
  );

  const controls = new Set(added_tokens.filter(({ special }) => special).map(({ id }) => id));
  const added = new Map(
    words.map((word) => [word.id, isNormalized(word) ? normalize(word.content) : word.content]),
  );
  const encoder = new TextEncoder();
  const nothing = new Uint8Array();
  return {
    encode,
    bytesOf: (id) => {
      const piece = added.get(id) ?? model.vocab[id]?.[0];
      if (piece === undefined || controls.has(id)) return nothing;
      return encoder.encode(piece.replaceAll(MARK, ' '));
    },
    ...(decoder.type === 'Sequence' ? { createRewriter: createCleaner } : {}),
  };
}

function normalizerOf(normalizer: z.infer<typeof Normalizer> | null): (text: string) => string {
  switch (normalizer?.type) {
    case undefined:
      return (text) => text;
    case 'Sequence': {
      const steps = normalizer.normalizers.map(normalizerOf);
      return (text) => steps.reduce((normal, step) => step(normal), text);
    }
    case 'Precompiled':
      return charsmapNormalizer(normalizer.precompiled_charsmap);
    case 'Strip':
      return normalizer.strip_right
        ? (text) => text.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, '')
        : (text) => text;
    case 'Replace':
      return (text) => text.replace(/ {2,}/g, () => normalizer.content);
  }
}

/** Words with SentencePiece's mark in front of them. */
function wordSplitter(
  preTokenizer: z.infer<typeof UnigramFile>['pre_tokenizer'],
): (text: string, isStart: boolean) => string[] {
  if (preTokenizer.type === 'Metaspace') {
    return (text, isStart) => markWords(text, isStart, preTokenizer);
  }
  const [, metaspace] = preTokenizer.pretokenizers;
  // U+FEFF, white space to JavaScript alone, is a letter here.
  return (text, isStart) =>
    [...text.matchAll(/\P{White_Space}+/gu)].flatMap(({ 0: word, index }) =>
      markWords(word, isStart && index === 0, metaspace),
    );
}

function markWords(text: string, isStart: boolean, { prepend_scheme, split }: Metaspace): string[] {
  const spaced = text.replaceAll(' ', MARK);
  const isMarked = prepend_scheme === 'always' || (prepend_scheme === 'first' && isStart);
  const marked = isMarked && !spaced.startsWith(MARK) ? MARK + spaced : spaced;
  return split ? (marked.match(/▁[^▁]*|[^▁]+/g) ?? []) : [marked];
}
