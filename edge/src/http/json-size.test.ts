import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { atOnce } from '../pauses.ts';
import { jsonCost, urlEncodedCost } from './body-costs.ts';
import { parseJsonObject } from './json-body.ts';
import { jsonSize } from './json-size.ts';
import { checkStructure } from './json-structure.ts';
import { JsonTotal } from './json-total.ts';

const encode = (text: string) => new TextEncoder().encode(text);

it('as many values are counted as are checked', () => {
  const property = fc.property(fc.json({ maxDepth: 8 }), (text) => {
    const total = new JsonTotal();
    checkStructure(encode(text), undefined, total);
    const { values, names } = atOnce(jsonSize(encode(text)));
    expect(Math.max(values, names)).toBe(total.values);
  });
  fc.assert(property);
});

it.each(['\\"', '\\\\', 'A', '\\n,['])('as much is counted in steps as is checked: %s', (piece) => {
  for (let shift = 0; shift < 4; shift++) {
    const image = `${'A'.repeat(shift)}${piece.repeat(100_000)}`;
    const texts = Array(3).fill(`"${piece.repeat(15_000)}"`);
    const text = encode(`{"image":"${image}","n":[${texts}]}`);
    const total = new JsonTotal();
    checkStructure(text, undefined, total);
    const { values, names, bytes } = atOnce(jsonSize(text));
    expect([Math.max(values, names), bytes]).toEqual([total.values, total.bytes + 1]);
  }
});

it('a string that is no text is no part of it', () => {
  const image = 'A'.repeat(100_000);
  expect(atOnce(jsonSize(encode(`{"image":"${image}","n":[1,2]}`)))).toEqual({
    values: 4,
    names: 2,
    bytes: 22,
  });
});

it.each([
  [
    'lists within lists, without a comma',
    `{"a":[${Array(320)
      .fill('['.repeat(30) + ']'.repeat(30))
      .join()}]}`,
  ],
  ['names that are no JSON', `{${'"":'.repeat(9990)}`],
  ['names in what begins as an image', `GIF89a${'"":'.repeat(9990)}`],
])('%s cost what is looked at', (_, text) => {
  expect(atOnce(jsonCost(encode(text))).ms).toBeGreaterThan(25);
  const inForm = encode(`history=${text.replace(/^GIF89a|^/, '[')}`);
  expect(atOnce(urlEncodedCost(inForm)).ms).toBeGreaterThan(25);
});

it('quotes are not searched one by one', () => {
  const search = vi.spyOn(Uint8Array.prototype, 'indexOf');
  const text = encode(`{${'"'.repeat(1_000_000)}`);
  search.mockClear();
  try {
    expect(() => parseJsonObject(text)).toThrow(/not valid JSON/);
    expect(search.mock.calls.length).toBeLessThan(100);
  } finally {
    search.mockRestore();
  }
});
