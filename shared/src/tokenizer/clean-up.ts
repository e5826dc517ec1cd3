/**
 * Spaces in front of punctuation and contractions, which `transformers` takes out of a decoded text where the
 * checkpoint says `clean_up_tokenization_spaces`.
 */

/** What is found and what takes its place, one after another over the whole text. */
export const CLEAN_UP: readonly (readonly [found: string, replacement: string])[] = [
  ...['.', '?', '!', ','].map((mark) => [` ${mark}`, mark] as const),
  [" ' ", "'"],
  ...["n't", "'m", "'s", "'ve", "'re"].map((end) => [` ${end}`, end] as const),
];

/** Rewrites one text while it comes: all that `push` and `end` return, together, is the whole rewritten. */
export type TextRewriter = {
  /** The part that nothing which follows can change. */
  push(text: string): string;
  /** The rest. */
  end(): string;
};

export function cleanUp(text: string): string {
  return CLEAN_UP.reduce((clean, [found, by]) => clean.replaceAll(found, by), text);
}

/**
 * @example
 * const cleaner = createCleaner();
 * cleaner.push('a dog'); // 'a dog'
 * cleaner.push(' ');     // '': a mark may follow
 * cleaner.push('.');     // '.'
 */
export function createCleaner(): TextRewriter {
  let open: string | null = null;
  return {
    push: (text) => {
      if (text === '') return '';
      // The decoder in front of this one takes the mark of a space off the first token.
      open = open === null ? text.replace(/^ +/, '') : open + text;
      const end = closedLength(open);
      const closed = open.slice(0, end);
      open = open.slice(end);
      return cleanUp(closed);
    },
    end: () => {
      const rest = cleanUp(open ?? '');
      open = '';
      return rest;
    },
  };
}

/** An end that may become one of the above, be it after one of the earlier replacements. */
const OPEN = /(?<! ) +(?:n(?: *' *[vr]?)?|' *[vr]?)?$/;

function closedLength(text: string): number {
  let length = text.length;
  for (let found = OPEN.exec(text); found !== null; found = OPEN.exec(text.slice(0, length))) {
    length = found.index;
  }
  return length;
}
