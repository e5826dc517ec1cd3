import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseJsonObject } from './json-body.ts';

const parse = (text: string, charset?: string) =>
  parseJsonObject(new TextEncoder().encode(text), charset);
const problem = (slug: string, detail: RegExp, field?: string) =>
  expect.objectContaining({
    slug,
    message: expect.stringMatching(detail),
    extras: field === undefined ? expect.anything() : expect.objectContaining({ field }),
  });

it('takes null for absent, in objects within it too, and not in lists', () => {
  const text = '{"seed": null, "image": {"url": null, "data": "a"}, "stop": [null], "n": 0}';
  expect(parse(text)).toEqual({ image: { data: 'a' }, stop: [null], n: 0 });
});

it('reads a byte order mark and the charset that is named', () => {
  expect(parse('\ufeff{"a": 1}')).toEqual({ a: 1 });
  expect(parse('{"a": 1}', 'UTF-8')).toEqual({ a: 1 });
  const utf16 = new Uint8Array(
    new Uint16Array([...'{"a":"é"}'].map((c) => c.charCodeAt(0))).buffer,
  );
  expect(parseJsonObject(utf16, 'utf-16')).toEqual({ a: 'é' });
  expect(
    parseJsonObject(Uint8Array.of(0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d), 'latin1'),
  ).toEqual({
    é: 1,
  });
});

it('gives back every object without null', () => {
  const values = fc.dictionary(
    fc.string({ unit: 'grapheme' }),
    fc.jsonValue({ depthSize: 'small' }),
  );
  const withoutNull = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(withoutNull)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .filter(([, member]) => member !== null)
              .map(([name, member]) => [name, withoutNull(member)]),
          )
        : value;
  fc.assert(
    fc.property(values, (value) => {
      const text = JSON.stringify(value);
      fc.pre(text.isWellFormed() && !text.includes('__proto__'));
      expect(parse(text)).toEqual(withoutNull(JSON.parse(text)));
    }),
  );
});

describe('is refused by name', () => {
  it.each<[string, string, string, RegExp, string?]>([
    ['what is no JSON', '{"a": NaN}', 'invalid-json', /not valid JSON: .*NaN/],
    ['nothing', '', 'invalid-json', /not valid JSON/],
    ['a list', '[1]', 'invalid-request', /must be a JSON object/],
    ['JSON as a text in JSON', '"{\\"a\\": 1}"', 'invalid-request', /encode it once/],
    [
      'a name that is given twice',
      '{"a":1,"b":{"a":1,"\\"":2},"a":2}',
      'invalid-request',
      /^a is given twice/,
      'a',
    ],
    [
      'a name that is given twice, once with escapes',
      '{"seed":1,"s\\u0065ed":2}',
      'invalid-request',
      /^seed is given twice/,
      'seed',
    ],
    [
      'half a character',
      '{"a": {"b": ["x\\ud83d"]}}',
      'invalid-request',
      /a\.b\.0: has half/,
      'a.b.0',
    ],
    [
      'a member that schemas would drop',
      '{"settings": {"__proto__": {"n": 1}}}',
      'invalid-request',
      /^There is no field settings\.__proto__\.$/,
      'settings.__proto__',
    ],
    [
      'such a member in a list, with escapes',
      '{"a": [{}, {"\\u005f_proto__": 5}]}',
      'invalid-request',
      /^There is no field a\.1\.__proto__\.$/,
      'a.1.__proto__',
    ],
    [
      'a number that is read as none',
      '{"a": {"b": [1e308, -1e999]}}',
      'invalid-request',
      /^a\.b\.1: is beyond all numbers/,
      'a.b.1',
    ],
    [
      'what is nested too deep',
      `{"a": ${'['.repeat(40)}${']'.repeat(40)}}`,
      'invalid-request',
      /deeper than 32/,
    ],
    ['what never ends', '['.repeat(1_000_000), 'invalid-request', /deeper than 32/],
    [
      'too much white space',
      `{${' '.repeat(2_000_000)}}`,
      'invalid-request',
      /bytes besides its image/,
    ],
    [
      'too many values',
      `{"a": [${'0,'.repeat(20_000)}0]}`,
      'invalid-request',
      /more than 10000 values/,
    ],
  ])('%s', (_what, text, slug, detail, field) => {
    expect(() => parse(text)).toThrow(problem(slug, detail, field));
  });

  it('a charset that is unknown, and bytes that are not in the one that is named', () => {
    expect(() => parse('{}', 'utf-32')).toThrow(
      problem('unsupported-media-type', /charset utf-32/),
    );
    const latin1 = Uint8Array.of(0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d);
    expect(() => parseJsonObject(latin1)).toThrow(problem('invalid-json', /not UTF-8/));
  });
});

describe('of what is no JSON one name is parsed at most', () => {
  it.each([
    ['a name with many colons', `{"\\x"${':'.repeat(9000)}}`],
    ['names that are none', `{${'"\\x":1,'.repeat(4000)}}`],
    ['colons within lists', `{"\\x":${'[:],'.repeat(2000)}1}`],
  ])('%s', (_what, text) => {
    const parsed = vi.spyOn(JSON, 'parse');
    onTestFinished(() => parsed.mockRestore());
    expect(() => parse(text)).toThrow(problem('invalid-json', /is not valid JSON/));
    // The name, and the whole.
    expect(parsed).toHaveBeenCalledTimes(2);
  });
});
