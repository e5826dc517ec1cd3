/** How files that are stored are read. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { sharedTurns } from '../turns/shared-turns.ts';
import { piecesOf, wholeOf } from './file-bytes.ts';

const MIB = 2 ** 20;
const FILE = { id: 'a', size: 10 * 2 ** 18 - 1 };

/** Ten of a quarter of a MiB, of which the last is shorter. @param gone from which on there are none */
function stored(gone = Number.POSITIVE_INFINITY) {
  const read: number[] = [];
  const piece = (_id: string, number: number) => {
    read.push(number);
    const length = number === 9 ? 2 ** 18 - 1 : 2 ** 18;
    return number < gone ? new Uint8Array(length).fill(number) : null;
  };
  return { piece, read };
}

let log: (string | number)[];
beforeEach(() => {
  log = [];
  vi.spyOn(sharedTurns, 'take').mockImplementation(async (owner) => {
    log.push(owner);
    return { end: async (bytes) => void log.push(bytes) };
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

it('a whole one is read by turns of a MiB', async () => {
  const files = stored();
  const bytes = await wholeOf(files, FILE, 'owner');
  expect(bytes?.length).toBe(FILE.size);
  expect([0, MIB, FILE.size - 1].map((at) => bytes?.[at])).toEqual([0, 4, 9]);
  expect(log).toEqual(['owner', MIB, 'owner', MIB, 'owner', 2 ** 19 - 1]);
});

it.each([0, 1, 5, 8])(
  'one that is deleted after %i pieces is none, and no turn is left open',
  async (gone) => {
    expect(await wholeOf(stored(gone), FILE, 'owner')).toBeNull();
    expect(log.filter((entry) => entry === 'owner')).toHaveLength(log.length / 2);
  },
);

it('one that nobody needs any more is not read, and no turn is left open', async () => {
  const files = stored();
  const canceled = new AbortController();
  const whole = wholeOf(files, FILE, 'owner', canceled.signal);
  canceled.abort();
  await expect(whole).rejects.toThrow();
  expect(files.read).toEqual([]);
  expect(log).toEqual(['owner', 0]);
});

it('a reader reads the pieces that it takes, and none after the file is deleted', async () => {
  const files = stored(3);
  const pieces = piecesOf(files, FILE);
  await pieces.next();
  expect(files.read).toEqual([0]);
  expect(await Array.fromAsync(pieces)).toHaveLength(2);
  expect(files.read).toEqual([0, 1, 2, 3]);
});
