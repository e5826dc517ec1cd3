/** What stands in a document of XML or HTML before its first tag. */

/** How each begins, in small letters, and what ends it. */
const PROLOGUES = [
  ['<?xml', '>'],
  ['<!--', '-->'],
  ['<!doctype svg', '>'],
] as const;

/**
 * A text from its first tag on; what is never closed stays. By searches alone: one regular expression for the whole head tries, for each
 * comment of hundreds, whether it ends at a later one.
 * @param text without white space before it
 * @example withoutPrologue('<?xml version="1.0"?>\n<!-- by hand -->\n<svg>') // '<svg>'
 */
export function withoutPrologue(text: string): string {
  const small = text.toLowerCase();
  let start = 0;
  for (;;) {
    const [open, close] = PROLOGUES.find(([begin]) => small.startsWith(begin, start)) ?? [];
    if (open === undefined) return text.slice(start);
    const end = text.indexOf(close, start + open.length);
    if (end === -1) return text.slice(start);
    start = end + close.length;
    while (WHITE_SPACE.test(text.charAt(start))) start++;
  }
}

const WHITE_SPACE = /^\s$/;
