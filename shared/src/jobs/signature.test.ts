import { expect, test } from 'vitest';
import { isSigned, SIGNATURE_AGE_MS, sign } from './signature.ts';

const secret = 'one secret of at least 32 characters';
const other = 'another secret of as many characters';
const request = { method: 'POST', path: '/a/b?c=d', body: new TextEncoder().encode('{}') };
const at = 1_795_000_000_000;

test('a signature holds for its request, its secret and a while', async () => {
  const header = await sign(secret, request, at);
  expect(await isSigned([secret], request, header, at)).toBe(true);
  expect(await isSigned([other, secret], request, header, at + SIGNATURE_AGE_MS)).toBe(true);
  expect(await isSigned([other], request, header, at)).toBe(false);
  expect(await isSigned([], request, header, at)).toBe(false);
  for (const now of [at + SIGNATURE_AGE_MS + 1, at - SIGNATURE_AGE_MS - 1]) {
    expect(await isSigned([secret], request, header, now)).toBe(false);
  }
});

test.each([
  { ...request, method: 'GET' },
  { ...request, path: '/a/b?c=e' },
  { ...request, body: new TextEncoder().encode('{} ') },
])('another request has another signature: $method $path', async (changed) => {
  const header = await sign(secret, request, at);
  expect(await isSigned([secret], changed, header, at)).toBe(false);
});

test.each([null, '', 't=1', 'v1=aa', `t=${at},v1=${'0'.repeat(64)}`, `t=9e9,v1=${'0'.repeat(64)}`])(
  'what is no signature is refused: %s',
  async (header) => {
    expect(await isSigned([secret], request, header, at)).toBe(false);
  },
);
