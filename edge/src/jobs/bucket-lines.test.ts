/** Lines of an object that are passed over cost no more than looking for their ends. */
import { expect, test, vi } from 'vitest';
import { bucket } from '../testing/jobs.ts';
import { linesFrom } from './bucket-lines.ts';

const key = 'bucket-lines/lines';
const READING = { offset: 0, maxBytes: 1000, rangeBytes: 64 };

test('lines that are passed over are not decoded, and others come between', async () => {
  const lines = Array.from({ length: 50 }, (_, i) => `line ${i} é`);
  await bucket.put(key, lines.join('\n'));
  const decode = vi.spyOn(TextDecoder.prototype, 'decode');
  const wait = vi.spyOn(scheduler, 'wait');
  try {
    const read = await Array.fromAsync(linesFrom(bucket, key, { ...READING, skipped: 48 }));
    expect(read.map(({ text }) => text)).toEqual(lines.slice(48));
    expect(read[0]?.next).toBe(
      read[0] && new TextEncoder().encode(lines.slice(0, 49).join('\n')).length + 1,
    );
    expect(decode.mock.calls.length).toBeLessThanOrEqual(6);
    expect(wait.mock.calls.length).toBeGreaterThan(5);
  } finally {
    decode.mockRestore();
    wait.mockRestore();
  }
  expect(await Array.fromAsync(linesFrom(bucket, key, { ...READING, skipped: 60 }))).toEqual([]);
});

test('each line may begin with a mark, and what is no UTF-8 spoils none but its own', async () => {
  const text = new TextEncoder().encode(`\uFEFFa\n\uFEFFb\n${'x'.repeat(70)}\xff\n\uFEFFc\n`);
  await bucket.put(
    key,
    text.map((byte) => (byte === 0xc3 ? 0xff : byte)),
  );
  const read = await Array.fromAsync(linesFrom(bucket, key, READING));
  expect(read.map((line) => line.text)).toEqual(['a', 'b', null, 'c']);
  const cut = new Uint8Array([...new TextEncoder().encode('a'.repeat(63)), 0xc3]);
  await bucket.put(key, new Uint8Array([...cut, 0x0a, 0x62]));
  const after = await Array.fromAsync(linesFrom(bucket, key, READING));
  expect(after.map((line) => line.text)).toEqual([null, 'b']);
});

test('of lines the beginning is read where that is asked for, and lines that are not wanted not at all', async () => {
  const lines = [`${'é'.repeat(60)} 1`, 'ab', `x${'é'.repeat(60)}`, 'é'.repeat(2), 'end'];
  await bucket.put(key, lines.join('\n'));
  const heads = await Array.fromAsync(linesFrom(bucket, key, { ...READING, headBytes: 4 }));
  expect(heads.map(({ text }) => text)).toEqual(['éé', 'ab', 'xé', 'éé', 'end']);
  expect(heads.map(({ bytes }) => bytes)).toEqual([122, 2, 121, 4, 3]);
  let asked = 0;
  const isWanted = async () => ++asked % 2 === 1;
  const wanted = await Array.fromAsync(linesFrom(bucket, key, { ...READING, isWanted }));
  expect(wanted.map(({ text }) => text)).toEqual([lines[0], lines[2], lines[4]]);
  expect(asked).toBe(5);
});
