/** A part ends with one line for each of its lines, in their order, wherever it was stopped before. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { partLines } from './manifest.ts';
import { type ObjectStore, objectStore, type Place } from './object-store.ts';
import { openOutput } from './part-output.ts';
import { runPart } from './run-part.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'part-'));
  const lines = Array.from({ length: 25 }, (_, i) => `line ${i}`);
  await writeFile(join(folder, 'manifest'), lines.join('\n\n'));
});
afterEach(() => rm(folder, { recursive: true }));

const objects = objectStore({});

/** Runs part 1 of ten lines. @param failsAt number of the line with which the engine crashes */
async function run({ failsAt = -1, order = {}, ran = [] as number[] } = {}) {
  const manifest = join(folder, 'manifest');
  await using output = await openOutput({
    ...{ output: join(folder, 'out'), part: 1, order, checkpointItems: 2, objects },
  });
  return await runPart({
    output,
    lines: (from) => partLines({ manifest, part: 1, partItems: 10, objects }, from),
    run: async (line, number) => {
      ran.push(number);
      // The later, the sooner.
      await pause(10 - number);
      if (number === failsAt) throw new Error('The engine crashed.');
      return { id: line, cursor: `1:${number}`, status: 200, result: { order }, error: null };
    },
    together: 4,
    checkpointItems: 2,
    onProgress: () => {},
  });
}

async function ids(): Promise<string[]> {
  const text = await readFile(join(folder, 'out/part-00001.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: string }).id);
}

const WHOLE = Array.from({ length: 10 }, (_, i) => `line ${10 + i}`);

describe('a part', () => {
  it('goes on behind what is safe, and behind a torn line', async () => {
    await expect(run({ failsAt: 5 })).rejects.toThrow('The engine crashed.');
    const [partial = ''] = (await readdir(join(folder, 'out'))).filter((one) =>
      one.endsWith('.partial'),
    );
    await writeFile(join(folder, 'out', partial), '{"id": "to', { flag: 'a' });
    const ran: number[] = [];
    expect(await run({ ran })).toEqual({ done: 10, own: 6, failed: 0 });
    expect(Math.min(...ran)).toBe(4);
    expect(await ids()).toEqual(WHOLE);
    expect(await readdir(join(folder, 'out'))).toEqual(['part-00001.jsonl']);
  });

  it('is run once, and its output never replaced', async () => {
    const [first, second] = await Promise.all([run(), run({ order: { other: true } })]);
    expect([first, second].filter((progress) => progress !== null)).toHaveLength(1);
    expect(await ids()).toEqual(WHOLE);
  });

  it('begins anew where another order left something', async () => {
    await expect(run({ failsAt: 5 })).rejects.toThrow();
    const ran: number[] = [];
    await run({ order: { task: 'answer' }, ran });
    expect(Math.min(...ran)).toBe(0);
    expect(await readFile(join(folder, 'out/part-00001.jsonl'), 'utf8')).not.toContain(
      '"order":{}',
    );
    expect(await readdir(join(folder, 'out'))).toEqual(['part-00001.jsonl']);
  });
});

it('a manifest that is not there is named', async () => {
  const manifest = join(folder, 'nowhere');
  const lines = partLines({ manifest, part: 0, partItems: 1, objects }, 0);
  await expect(Array.fromAsync(lines)).rejects.toMatchObject({ code: 'ENOENT', path: manifest });
});

it('a manifest of a part is its own, where its name says so', async () => {
  await writeFile(join(folder, 'm-00003'), 'a\nb\nc\n');
  const manifest = join(folder, 'm-{part}');
  const lines = partLines({ manifest, part: 3, partItems: 2, objects }, 1);
  expect(await Array.fromAsync(lines)).toEqual(['b']);
});

describe('in a bucket', () => {
  /** A bucket in memory. */
  function memory() {
    const stored = new Map<string, Buffer>();
    const store = {
      size: async ({ key }: Place) => stored.get(key)?.length ?? null,
      keys: async ({ key }: Place) =>
        [...stored.keys()].filter((one) => one.startsWith(key)).sort(),
      read: async ({ key }: Place) => Readable.from([stored.get(key) ?? Buffer.alloc(0)]),
      putOnce: async ({ key }: Place, body: Buffer) => {
        if (!stored.has(key)) stored.set(key, body);
      },
      delete: async ({ key }: Place) => void stored.delete(key),
    } as unknown as ObjectStore;
    return { stored, store };
  }
  const open = (store: ObjectStore, checkpointItems: number) =>
    openOutput({
      ...{ output: 's3://bucket/out', part: 1, order: {}, checkpointItems, objects: store },
    });

  it('checkpoints of another size are not gone on with', async () => {
    const { stored, store } = memory();
    await using two = await open(store, 2);
    await using three = await open(store, 3);
    await two.add(['a\n', 'b\n']);
    expect([await two.resume(), await three.resume()]).toEqual([2, 0]);
    await three.add(['a\n', 'b\n', 'c\n']);
    await two.add(['c\n', 'd\n']);
    await two.finish(4);
    expect(String(stored.get('out/part-00001.jsonl'))).toBe('a\nb\nc\nd\n');
    // The other one comes too late, and finds the whole.
    await three.finish(3);
    expect([...stored.keys()]).toEqual(['out/part-00001.jsonl']);
  });

  it('puts nothing where lines are missing', async () => {
    const { stored, store } = memory();
    await using output = await open(store, 2);
    await output.add(['a\n', 'b\n']);
    await expect(output.finish(3)).rejects.toThrow('of 3 lines 2 are there');
    expect(stored.has('out/part-00001.jsonl')).toBe(false);
    expect(stored.size).toBe(1);
  });
});
