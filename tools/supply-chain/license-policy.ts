/** Which licenses packages may have: one that is not listed here has to be read by somebody first. */
import type { BundledLibrary } from './bundled-libraries.ts';
import type { Package, Part } from './lock.ts';

/** Ask for no more than their text and a notice. */
const PERMISSIVE = [
  'MIT',
  'ISC',
  '0BSD',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'Unlicense',
  'Zlib',
];

/** Only libvips, and builds of sharp that hold it: a library of its own, linked at run time, which anybody may replace. */
const LGPL = 'LGPL-3.0-or-later';
const MAY_BE_LGPL = /^@img\/sharp-/;

/** Of files, and in tools and tests alone: nothing of them is in what is served. */
const DEVELOPMENT_ONLY = ['MPL-2.0'];

/** How the package of libvips names the licenses of what it is built of. */
const BUNDLED =
  /^(MIT License|LGPLv3|Mozilla Public License 1\.1|(New )?BSD( [23]-Clause| License)?|(zlib|libpng|IJG|fontconfig|freetype|libtiff) License|BSD-like|Alliance for Open Media Patent License 1\.0)$/;

/** @returns why the package may not be used so; null where it may */
export function objectionTo({ name, license }: Package, part: Part): string | null {
  const allowed = new Set([
    ...PERMISSIVE,
    ...(MAY_BE_LGPL.test(name) ? [LGPL] : []),
    ...(part === 'dev' ? DEVELOPMENT_ONLY : []),
  ]);
  if (license === '') return `${name} names no license`;
  return satisfies(license, allowed) ? null : `${name} is under ${license}`;
}

export function objectionToBundled({ name, license }: BundledLibrary): string | null {
  const parts = license.split(/ \+ |, |(?= \()/).map((part) => part.replaceAll(/[()]/g, '').trim());
  return parts.every((part) => BUNDLED.test(part)) ? null : `${name} is under ${license}`;
}

/**
 * Whether an SPDX expression can be met with these licenses.
 * @example satisfies('(MIT OR GPL-3.0-only)', new Set(['MIT'])) // true
 */
export function satisfies(expression: string, allowed: ReadonlySet<string>): boolean {
  const tokens = expression.match(/[()]|[^\s()]+/g) ?? [];
  const take = (word: string) => tokens[0] === word && tokens.shift() !== undefined;
  const term = (): boolean => {
    if (take('(')) {
      const inner = either();
      return take(')') && inner;
    }
    const license = tokens.shift() ?? '';
    // An exception only permits more, but it is for a reader to say so.
    return take('WITH') ? allowed.has(`${license} WITH ${tokens.shift()}`) : allowed.has(license);
  };
  const both = (): boolean => {
    let result = term();
    while (take('AND')) result = term() && result;
    return result;
  };
  const either = (): boolean => {
    let result = both();
    while (take('OR')) result = both() || result;
    return result;
  };
  const result = either();
  return result && tokens.length === 0;
}
