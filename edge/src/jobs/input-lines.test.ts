/** Items of another job that were not completed are found without keeping everybody out. */
import { expect, test, vi } from 'vitest';
import { bucket } from '../testing/jobs.ts';
import { partKey } from './contract.ts';
import { inputLines } from './input-lines.ts';
import { HEAD_BYTES } from './stored-line.ts';

test('large results are passed over with pauses, and not parsed', async () => {
  const [owner, job] = ['input-lines', 'failed'];
  const items = Array.from({ length: 40 }, (_, item) => ({ item, custom_id: `${item}` }));
  const failed = [3, 39];
  const lines = (values: readonly object[]) => values.map((v) => `${JSON.stringify(v)}\n`).join('');
  await bucket.put(partKey({ owner, job, part: 0 }, 'in'), lines(items));
  const results = items.map(({ item, custom_id }) => {
    const outcome = failed.includes(item) ? 'failed' : 'completed';
    return { part: 0, item, custom_id, outcome, status: 200, body: 'x'.repeat(50_000) };
  });
  await bucket.put(partKey({ owner, job, part: 0 }, 'out'), lines(results));
  const input = { input: { kind: 'failed-of', job } as const, owner };
  const read = async (offset: number) => {
    const found = await Array.fromAsync(
      inputLines({ files: bucket, images: undefined }, input, { offset }),
    );
    return found.filter(({ text }) => text !== '');
  };
  const wait = vi.spyOn(scheduler, 'wait');
  const parse = vi.spyOn(JSON, 'parse');
  const decode = vi.spyOn(TextDecoder.prototype, 'decode');
  try {
    const found = await read(0);
    const lengths = parse.mock.calls.map(([text]) => text.length);
    // The beginnings of results, and lines of what failed.
    const decoded = decode.mock.calls.map(([bytes]) => bytes?.byteLength ?? 0);
    expect(Math.max(...decoded)).toBeLessThanOrEqual(HEAD_BYTES);
    const itself = lines(failed.map((i) => items[i] ?? {})).length - failed.length;
    expect(decoded.reduce((sum, bytes) => sum + bytes, 0)).toBe(40 * HEAD_BYTES + itself);
    expect(Math.max(0, ...lengths)).toBeLessThan(10_000);
    expect(wait.mock.calls.length).toBeGreaterThanOrEqual(10);
    expect(found.map(({ text }) => text)).toEqual(failed.map((i) => JSON.stringify(items[i])));
    expect(found.map(({ next }) => next)).toEqual(failed.map((i) => ({ offset: i + 1 })));
  } finally {
    wait.mockRestore();
    parse.mockRestore();
    decode.mockRestore();
  }
  expect(await read(4)).toHaveLength(1);
});
