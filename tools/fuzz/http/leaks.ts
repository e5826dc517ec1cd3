/** What no reply to a bad request may show: where our code is, what it is made of, how it failed. */
import { Violation } from '../violation.ts';

const LEAKS: readonly [what: string, pattern: RegExp][] = [
  ['a stack', /\n\s*at \S+|\bat \S+ \(\S+:\d+:\d+\)|:\d+:\d+\)/],
  ['a path', /node_modules|\/(?:src|work|root|home|usr|tmp)\/|\b[A-Z]:\\|file:\/\/\/\w/],
  [
    'the text of a library',
    /\b(?:sharp|lib)?vips|\bsharp\b|onnx|zod|miniflare|workerd|wrangler|undici|piscina|node:|heif_|libpng|VipsJpeg/i,
  ],
  [
    'an error of JavaScript',
    /\b(?:Type|Range|Reference|Syntax|Aggregate|Internal)Error\b|\bCannot (?:read|set|convert)\b|is not a function|is not iterable|\[object \w+\]|\bundefined\b|ERR_[A-Z]/,
  ],
];

/**
 * @param text the reply
 * @param sent what the reply may quote
 * @throws Violation
 */
export function expectNoLeak(text: string, sent: string): void {
  for (const [what, pattern] of LEAKS) {
    const found = pattern.exec(text)?.[0];
    if (found === undefined || sent.includes(found.trim())) continue;
    throw new Violation(`a reply shows ${what}: "${found.trim()}" in ${text.slice(0, 500)}`);
  }
}
