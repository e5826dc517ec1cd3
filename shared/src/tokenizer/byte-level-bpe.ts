/** Byte-level BPE of GPT-2's kind (OPT). */
import * as z from 'zod/mini';
import { encodeWithWords } from './added-tokens.ts';
import { type Merge, mergePieces } from './bpe-merges.ts';
import type { TextTokenizer } from './text-tokenizer.ts';
import { COMMON_KEYS, Ignored, knownKeys, parseTokenizer } from './tokenizer-file.ts';

const Empty = z.optional(z.nullable(z.literal('')));
const No = z.optional(z.nullable(z.literal(false)));

const Lowercase = knownKeys({ type: z.literal('Lowercase') });
const Replace = knownKeys({
  type: z.literal('Replace'),
  pattern: knownKeys({ String: z.string().check(z.minLength(1)) }),
  content: z.string(),
});
const Step = z.discriminatedUnion('type', [Lowercase, Replace]);
const Steps = knownKeys({ type: z.literal('Sequence'), normalizers: z.array(Step) });
const Normalizer = z.discriminatedUnion('type', [Lowercase, Replace, Steps]);

const BpeFile = knownKeys({
  ...COMMON_KEYS,
  normalizer: z.optional(z.nullable(Normalizer)),
  pre_tokenizer: knownKeys({
    type: z.literal('ByteLevel'),
    add_prefix_space: z._default(z.boolean(), false),
    use_regex: z._default(z.boolean(), true),
    trim_offsets: Ignored,
  }),
  // Its flags are those of the other two roles of `ByteLevel`: decoding has none.
  decoder: z.looseObject({ type: z.literal('ByteLevel') }),
  model: knownKeys({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), z.int()),
    merges: z.array(z.union([z.tuple([z.string(), z.string()]), z.string()])),
    dropout: z.optional(z.nullable(z.literal(0))),
    unk_token: z.optional(z.nullable(z.string())),
    fuse_unk: z._default(z.boolean(), false),
    ignore_merges: z._default(z.boolean(), false),
    byte_fallback: No,
    continuing_subword_prefix: Empty,
    end_of_word_suffix: Empty,
  }),
});
type BpeFile = z.infer<typeof BpeFile>;

/** GPT-2's pattern. Written out because `\\s` of JavaScript is not Unicode's white space: it has U+FEFF, not U+0085. */
const WORDS = new RegExp(
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|" +
    '\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+',
  'gu',
);

/** @throws Error naming what the file asks for and is not done here */
export function byteLevelBpe(json: unknown): TextTokenizer {
  const file = parseTokenizer(BpeFile, json);
  const { add_prefix_space, use_regex } = file.pre_tokenizer;
  const encodeWord = wordEncoder(file);
  const words = file.added_tokens.filter(({ special }) => !special);
  const encode = encodeWithWords(words, normalizerOf(file.normalizer ?? null), ({ text }) => {
    const spaced = add_prefix_space && !text.startsWith(' ') ? ` ${text}` : text;
    return (use_regex ? (spaced.match(WORDS) ?? []) : [spaced]).flatMap(encodeWord);
  });
  return { encode, bytesOf: byteDecoder(file) };
}

function normalizerOf(normalizer: z.infer<typeof Normalizer> | null): (text: string) => string {
  switch (normalizer?.type) {
    case undefined:
      return (text) => text;
    case 'Lowercase':
      return lowerCase;
    case 'Replace': {
      const { pattern, content } = normalizer;
      return (text) => text.replaceAll(pattern.String, () => content);
    }
    case 'Sequence': {
      const steps = normalizer.normalizers.map(normalizerOf);
      return (text) => steps.reduce((normal, step) => step(normal), text);
    }
  }
}

/** Character by character, as `tokenizers` does it: a final sigma is one like any other. */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

/** Ids of one word: its bytes, merged. Control tokens are no pieces of words, whatever they are made of. */
function wordEncoder({ model, added_tokens }: BpeFile): (word: string) => number[] {
  const controls = new Set(added_tokens.filter(({ special }) => special).map(({ id }) => id));
  const idOf = new Map(Object.entries(model.vocab));
  const merge = mergePieces(mergesOf(model.merges, idOf).filter((m) => !controls.has(m.merged)));
  const byteIds = CHARACTERS.map((character) => idOf.get(character));
  const unknown = model.unk_token == null ? undefined : idOf.get(model.unk_token);
  if (model.unk_token != null && unknown === undefined && byteIds.includes(undefined)) {
    throw new Error(`tokenizer.json: unk_token "${model.unk_token}" is not in the vocabulary`);
  }
  const encoder = new TextEncoder();
  return (word) => {
    const bytes = encoder.encode(word);
    if (model.ignore_merges) {
      const whole = idOf.get(Array.from(bytes, (byte) => CHARACTERS[byte]).join(''));
      if (whole !== undefined && !controls.has(whole)) return [whole];
    }
    // Bytes without a piece become the unknown token, or nothing where there is none.
    const ids: number[] = [];
    let isUnknown = false;
    for (const byte of bytes) {
      const id = byteIds[byte] ?? unknown;
      const fuses = isUnknown && model.fuse_unk;
      isUnknown = byteIds[byte] === undefined;
      if (id !== undefined && !(isUnknown && fuses)) ids.push(id);
    }
    return merge(ids);
  };
}

function mergesOf(merges: BpeFile['model']['merges'], idOf: ReadonlyMap<string, number>): Merge[] {
  const pairs = merges
    .filter((merge) => typeof merge !== 'string' || !merge.startsWith('#version'))
    .map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge));
  return pairs.map((pair) => {
    const [first = '', second = ''] = pair;
    const [left, right, merged] = [idOf.get(first), idOf.get(second), idOf.get(first + second)];
    if (pair.length !== 2 || left === undefined || right === undefined || merged === undefined) {
      throw new Error(`tokenizer.json: the merge "${pair.join(' ')}" is not in the vocabulary`);
    }
    return { left, right, merged };
  });
}

/** A piece's characters are bytes; one with others, as an added token's may be, is text. */
function byteDecoder({ model, added_tokens }: BpeFile): (id: number) => Uint8Array {
  const byteOf = new Map(CHARACTERS.map((character, byte) => [character, byte]));
  const pieces = new Map(Object.entries(model.vocab).map(([piece, id]) => [id, piece]));
  const added = new Map(added_tokens.map((token) => [token.id, token]));
  const encoder = new TextEncoder();
  const nothing = new Uint8Array();
  return (id) => {
    const word = added.get(id);
    if (word?.special) return nothing;
    const piece = pieces.get(id);
    // Not through the table of bytes, where `ñ` is another byte than those of `ñ`.
    if (piece === undefined) return word === undefined ? nothing : encoder.encode(word.content);
    const bytes = Array.from(piece, (character) => byteOf.get(character));
    const isText = bytes.includes(undefined);
    return isText ? encoder.encode(piece) : Uint8Array.from(bytes, (byte) => byte ?? 0);
  };
}

/** GPT-2's table: each byte is written as a printable character, its own where it has one, else one from U+0100 on. */
const CHARACTERS = charactersOfBytes();

function charactersOfBytes(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(printable ? byte : next++);
  });
}
