import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseHeaderValue } from './header-value.ts';

it.each<[string | null, string, Record<string, string>]>([
  [null, '', {}],
  [' Image/PNG ', 'image/png', {}],
  ['text/plain;charset=UTF-8', 'text/plain', { charset: 'UTF-8' }],
  [
    'form-data; Name = image ; filename=a b.png',
    'form-data',
    { name: 'image', filename: 'a b.png' },
  ],
  ['form-data; name="a;b"; filename="c\\"d\\\\"', 'form-data', { name: 'a;b', filename: 'c"d\\' }],
  ['form-data; name=""; filename=', 'form-data', { name: '', filename: '' }],
  ['form-data; name="not closed', 'form-data', { name: 'not closed' }],
  ['a; x; y=1; y=2;', 'a', { y: '1' }],
])('%j is %j with %j', (header, value, parameters) => {
  const parsed = parseHeaderValue(header);
  expect({ value: parsed.value, ...Object.fromEntries(parsed.parameters) }).toEqual({
    value,
    ...parameters,
  });
});

it('reads every quoted text back', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const quoted = `"${text.replace(/["\\]/g, '\\$&')}"`;
      expect(parseHeaderValue(`a; name=${quoted}; b=c`).parameters.get('name')).toBe(text);
    }),
  );
});
