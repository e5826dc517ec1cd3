/** Results are counted once, and a range of them is rendered from a place near before it. */
import { expect, test } from 'vitest';
import type { ResultCursor } from '../../jobs/contract.ts';
import { ranged } from './rendered-lines.ts';
import { measured, measuredBehind, type RenderedLines } from './rendered-size.ts';

const PIECE = new Uint8Array(2 ** 24);
const PIECES = 12;

/** Pieces of 16 MiB. */
function counted(onPiece: (item: number) => Promise<void> | void = () => {}) {
  const begun: (number | undefined)[] = [];
  const lines: RenderedLines = async function* (from?: ResultCursor) {
    begun.push(from?.item);
    for (let item = from?.item ?? 0; item < PIECES; item++) {
      await onPiece(item);
      yield { bytes: PIECE, next: { part: 0, item: item + 1 } };
    }
  };
  return { begun, lines };
}

test('who asks at the same time waits for the one that counts', async () => {
  const { begun, lines } = counted();
  const all = await Promise.all([1, 2, 3, 4].map(() => measured(lines, 'together')));
  expect(all.map(({ bytes }) => bytes)).toEqual(all.map(() => PIECES * 2 ** 24));
  expect(begun).toEqual([undefined]);
  await measured(lines, 'together');
  expect(begun).toHaveLength(1);
});

test('where the one that counts is gone, the next goes on where it was', async () => {
  let now = 0;
  const never = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const { begun, lines } = counted((item) => {
    if (item !== 5 || begun.length > 1) return;
    stopped.resolve();
    return never.promise;
  });
  measured(lines, 'gone', () => now);
  await stopped.promise;
  now = 10_000;
  const { bytes, marks } = await measured(lines, 'gone', () => now);
  expect(bytes).toBe(PIECES * 2 ** 24);
  expect(begun).toEqual([undefined, 5]);
  expect(marks.map(({ from }) => from.item)).toEqual([4, 8, 12]);
});

test('counting that fails is tried again', async () => {
  let fails = true;
  const { lines } = counted(() => {
    if (fails) throw new Error('the bucket');
  });
  await expect(measured(lines, 'fails')).rejects.toThrow('the bucket');
  fails = false;
  expect((await measured(lines, 'fails')).bytes).toBe(PIECES * 2 ** 24);
});

test('the last byte is rendered without what is long before it', async () => {
  const { begun, lines } = counted();
  const reply = await ranged(lines, { tag: 'range', range: 'bytes=-1', headers: {} });
  expect((await reply.arrayBuffer()).byteLength).toBe(1);
  const later = await ranged(lines, { tag: 'range', range: `bytes=${5 * 2 ** 24}-`, headers: {} });
  expect((await later.arrayBuffer()).byteLength).toBe(7 * 2 ** 24);
  expect(begun).toEqual([undefined, 8, 4]);
});

/** Parts of three pieces, of which each has its own length; behind a place what is left of them, with a head. */
function inParts(head: number, place: ResultCursor | null = null) {
  const read: string[] = [];
  const lines: RenderedLines = async function* (from?: ResultCursor) {
    const first = from ?? place ?? { part: 0, item: 0 };
    let more = from === undefined ? head : 0;
    for (let part = first.part; part < 4; part++) {
      for (let item = part === first.part ? first.item : 0; item < 3; item++) {
        read.push(`${part}:${item}`);
        const bytes = new Uint8Array(more + 1000 * part + 10 * item + 1);
        more = 0;
        yield { bytes, next: { part, item: item + 1 } };
      }
    }
    if (more > 0) yield { bytes: new Uint8Array(more), next: null };
  };
  return { read, lines };
}

test.each([0, 7])(
  'behind a place what is left of its part is counted, and all once: head of %i',
  async (head) => {
    const all = inParts(head);
    const tag = `all-${head}`;
    for (let part = 0; part < 4; part++) {
      for (let item = 0; item <= 3; item++) {
        const from = { part, item };
        const rest = inParts(head, from);
        const behind = { lines: all.lines, tag, from, headBytes: head };
        const { bytes } = await measuredBehind(rest.lines, `${tag}-${part}:${item}`, behind);
        let expected = 0;
        for await (const piece of inParts(head, from).lines()) expected += piece.bytes.length;
        expect(bytes).toBe(expected);
        if (part < 3) expect(rest.read.length).toBeLessThanOrEqual(4);
      }
    }
    expect(all.read).toHaveLength(12);
  },
);
