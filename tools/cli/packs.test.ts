/** Lines are packed whole, up to a number of them and of bytes, and no file stays behind. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type PackLimits, packsOf } from './packs.ts';

async function* given(lines: readonly string[]) {
  yield* lines;
}

async function pack(lines: readonly string[], limits: PackLimits) {
  const packs: string[] = [];
  const paths: string[] = [];
  for await (const { path, ...counts } of packsOf(given(lines), limits)) {
    const text = readFileSync(path, 'utf8');
    expect(counts).toEqual({ lines: text.split('\n').length - 1, bytes: Buffer.byteLength(text) });
    packs.push(text);
    paths.push(path);
  }
  expect(paths.filter((path) => existsSync(path))).toEqual([]);
  return packs;
}

it.each([
  [[], 10, 10, []],
  [['a', 'b', 'c'], 2, 100, ['a\nb\n', 'c\n']],
  [['aa', 'bb', 'c'], 9, 6, ['aa\nbb\n', 'c\n']],
  [['ä', 'b'], 9, 4, ['ä\n', 'b\n']],
  [['long', 'b'], 9, 3, ['long\n', 'b\n']],
])('%j with %i lines or %i bytes is %j', async (lines, maxLines, maxBytes, packs) => {
  expect(await pack(lines, { maxLines, maxBytes })).toEqual(packs);
});

it('leaves no file where somebody stops in the middle', async () => {
  let path = '';
  for await (const one of packsOf(given(['a', 'b']), { maxLines: 1, maxBytes: 9 })) {
    path = one.path;
    break;
  }
  expect(existsSync(path)).toBe(false);
});
