/**
 * Tokens that stand beside the vocabulary. Those that are special control the model, and users' texts never become
 * one of them; the others are words that a fine-tune added, and are found in a text before it is cut into pieces.
 */
import type { AddedToken } from './tokenizer-file.ts';

/** Half a surrogate pair: no well-formed text holds it, and no other is encoded. */
const HIDDEN = '\ud800';

/** Names of pieces that text must not reach, changed so that it cannot. */
export function hideControls(added: readonly AddedToken[]): (piece: string) => string {
  const controls = new Set(added.filter(({ special }) => special).map(({ content }) => content));
  return (piece) => (controls.has(piece) ? HIDDEN + piece : piece);
}

/** A stretch of text without added words; `isStart` where it begins the whole text. */
type Stretch = { text: string; isStart: boolean };
type Encode = (stretch: Stretch) => number[];
type Normalize = (text: string) => string;

/**
 * Encodes texts that may hold added words, in the order of `tokenizers`: words that are not `normalized` are cut out of
 * the text, what is between them is normalized, the others are cut out of that, and the rest is encoded.
 * @param words tokens that are not special
 * @param encode ids of a stretch of normalized text
 * @throws Error when nothing is left of a word once it is normalized: it would be found everywhere
 */
export function encodeWithWords(
  words: readonly AddedToken[],
  normalize: Normalize,
  encode: Encode,
): (text: string) => number[] {
  const inNormal = finder(words.filter(isNormalized), normalize);
  const encodeNormal: Encode = (stretch) =>
    inNormal({ ...stretch, text: normalize(stretch.text) }, encode);
  const inText = finder(
    words.filter((word) => !isNormalized(word)),
    (content) => content,
  );
  return (text) => inText({ text, isStart: true }, encodeNormal);
}

export function isNormalized({ normalized, special }: AddedToken): boolean {
  return normalized ?? !special;
}

/** Ids of a stretch: those of the words in it, and what `encode` makes of what is between them, where anything is. */
type Finder = (stretch: Stretch, encode: Encode) => number[];

function finder(words: readonly AddedToken[], normalize: Normalize): Finder {
  const byText = new Map<string, AddedToken>();
  for (const word of words) {
    const text = normalize(word.content);
    if (text === '') {
      const token = JSON.stringify(word.content);
      throw new Error(
        `tokenizer.json: nothing is left of the added token ${token} once normalized`,
      );
    }
    // Of two that read the same the first counts; `tokenizers` finds, by its version, the first or any.
    if (!byText.has(text)) byText.set(text, word);
  }
  const pattern = anyOf([...byText.keys()]);
  return (stretch, encode) => {
    if (stretch.text === '') return [];
    if (pattern === null) return encode(stretch);
    return cutOut(stretch, pattern, byText).flatMap((part) =>
      typeof part === 'number' ? part : encode(part),
    );
  };
}

/** Leftmost first, then longest; null for no words. */
function anyOf(texts: readonly string[]): RegExp | null {
  if (texts.length === 0) return null;
  const longestFirst = texts.toSorted((a, b) => b.length - a.length);
  const escaped = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'gu');
}

/** Ids of words and the stretches between them; none is empty. */
function cutOut(
  { text, isStart }: Stretch,
  pattern: RegExp,
  words: ReadonlyMap<string, AddedToken>,
): (number | Stretch)[] {
  const parts: (number | Stretch)[] = [];
  const stretch = (from: number, to: number) => {
    if (from < to) parts.push({ text: text.slice(from, to), isStart: isStart && from === 0 });
  };
  let done = 0;
  for (const { 0: found, index } of text.matchAll(pattern)) {
    const word = words.get(found);
    if (word === undefined) continue;
    let [start, end] = [index, index + found.length];
    if (word.single_word && (isAfterWord(text, start) || isBeforeWord(text, end))) continue;
    if (word.lstrip) {
      while (start > done && isSpaceAt(text, start - 1)) start--;
      start = Math.max(start, done);
    }
    if (word.rstrip) while (isSpaceAt(text, end)) end++;
    stretch(done, start);
    // Nothing may be left of it: the word before it took its white space.
    if (start < end) parts.push(word.id);
    done = end;
  }
  stretch(done, text.length);
  return parts;
}

const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const AFTER_WORD = new RegExp(`(?<=${WORD})`, 'uy');
const BEFORE_WORD = new RegExp(`(?=${WORD})`, 'uy');
const SPACE = /\p{White_Space}/uy;

function matchesAt(pattern: RegExp, text: string, index: number): boolean {
  pattern.lastIndex = index;
  return pattern.test(text);
}

const isAfterWord = (text: string, index: number) => matchesAt(AFTER_WORD, text, index);
const isBeforeWord = (text: string, index: number) => matchesAt(BEFORE_WORD, text, index);
/** All white space is in the first plane: one unit of UTF-16. */
const isSpaceAt = (text: string, index: number) =>
  index < text.length && matchesAt(SPACE, text, index);
