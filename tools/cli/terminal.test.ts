import { expect, test } from 'vitest';
import { visible } from './terminal.ts';

const hostile = 'a\u001b]52;c;aGk=\u0007 b\u009b2K\r\tc\n';

test('a terminal gets no control characters, also of bytes that come in pieces', () => {
  const terminal = { isTTY: true };
  const plain = 'a]52;c;aGk= b2K\tc\n';
  expect(visible(hostile, terminal)).toBe(plain);
  const bytes = new TextEncoder().encode(`é ${hostile}`);
  const pieces = Array.from(bytes, (byte) => visible(Uint8Array.of(byte), terminal));
  expect(pieces.join('')).toBe(`é ${plain}`);
});

test('files and pipes get everything', () => {
  expect(visible(hostile, {})).toBe(hostile);
  const bytes = new TextEncoder().encode(hostile);
  expect(visible(bytes, { isTTY: false })).toBe(bytes);
});
