/** No regular expression takes a time that grows faster than its text: most see bytes that anybody may send. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RegExpParser, visitRegExpAST } from '@eslint-community/regexpp';
import { parseSync, Visitor } from 'oxc-parser';
import { analyse } from 'scslre';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';

type Pattern = { source: string; flags: string };
type Found = Pattern & { file: string };

/** What comes from others is read here; other tools read what this repository has written. */
const SOURCES = ['{shared,edge,gpu-worker}/src/**/*.ts', 'tools/cli/**/*.ts'];
const NOT_SHIPPED = /\.test\.ts$|\/testing\//;

/** Looked at one by one. */
const KNOWN = [
  // Each repetition begins with a character that nothing before it may have; of names, which have 256.
  String.raw`^([^[\].]+)((?:\[[^[\]]*\]|\.[^[\].]+)+)$`,
  // Stands behind a beginning, in one of 200 characters.
  '( in (detail|one sentence|a sentence|a few words|words)| briefly| for me|,? please)*[.!?:]*$',
];

function literalsIn(file: string): Found[] {
  const found: Found[] = [];
  const { program } = parseSync(file, readFileSync(join(ROOT, file), 'utf8'));
  new Visitor({
    Literal(node) {
      if (!('regex' in node)) return;
      found.push({ file, source: node.regex.pattern, flags: node.regex.flags });
    },
  }).visit(program);
  return found;
}

const parser = new RegExpParser();

/** Whether one repetition without end is within another: where there are two ways through them, time doubles with each time around. */
function repeatsRepetitions({ source, flags }: Pattern): boolean {
  const sets = { unicode: flags.includes('u'), unicodeSets: flags.includes('v') };
  let [depth, most] = [0, 0];
  visitRegExpAST(parser.parsePattern(source, 0, source.length, sets), {
    onQuantifierEnter: ({ max }) => {
      if (max === Number.POSITIVE_INFINITY) most = Math.max(most, ++depth);
    },
    onQuantifierLeave: ({ max }) => {
      if (max === Number.POSITIVE_INFINITY) depth--;
    },
  });
  return most > 1;
}

/** Whether it may take more than linear time, by two repetitions of the same or from each place where it may begin. */
const backtracks = ({ source, flags }: Pattern): boolean =>
  analyse({ source, flags }).reports.length > 0;

const isSlow = (pattern: Pattern) => repeatsRepetitions(pattern) || backtracks(pattern);

describe('regular expressions', () => {
  it('take no time but one that grows with the length of the text', () => {
    const files = globSync(SOURCES, { cwd: ROOT }).filter((file) => !NOT_SHIPPED.test(file));
    const all = files.sort().flatMap(literalsIn);
    expect(all.length).toBeGreaterThan(100);
    const slow = all.filter((pattern) => !KNOWN.includes(pattern.source) && isSlow(pattern));
    expect(slow.map(({ file, source }) => `${file}: ${source}`)).toEqual([]);
  });

  it.each([
    ['a choice within a repetition', /^(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<svg/s],
    ['two repetitions of the same', /^Bearer[ \t]+(.+)$/],
    ['one from each place where it may begin', /\/+$/],
  ])('are refused for %s', (_, pattern) => {
    expect(isSlow(pattern)).toBe(true);
  });
});
