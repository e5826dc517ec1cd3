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

/**
 * @example
 * const cleaner = createCleaner();
 * cleaner.push('a dog'); // 'a dog'
 * cleaner.push(' ');     // '': a mark may follow
 * cleaner.push('.');     // '.'
 */
export function createCleaner(): TextRewriter {
  const replacers = CLEAN_UP.map(([found, by]) => createReplacer(found, by));
  let hasBegun = false;
  return {
    push: (text) => {
      if (text === '') return '';
      // The decoder in front of this one takes the mark of a space off the first token.
      const own = hasBegun ? text : text.replace(/^ +/, '');
      hasBegun = true;
      return replacers.reduce((clean, { push }) => push(clean), own);
    },
    // What one has held back is still to be read by those behind it.
    end: () => replacers.reduce((clean, { push, end }) => push(clean) + end(), ''),
  };
}

/**
 * `replaceAll` of a text that comes in parts. It holds back less than `found` has, however the text goes on, so that a part costs
 * what it is long.
 */
function createReplacer(found: string, by: string): TextRewriter {
  let held = '';
  return {
    push: (part) => {
      const parts = (held + part).split(found);
      const rest = parts.at(-1) ?? '';
      let length = Math.min(found.length - 1, rest.length);
      while (length > 0 && !rest.endsWith(found.slice(0, length))) length--;
      held = rest.slice(rest.length - length);
      parts[parts.length - 1] = rest.slice(0, rest.length - length);
      return parts.join(by);
    },
    end: () => {
      const rest = held;
      held = '';
      return rest;
    },
  };
}
