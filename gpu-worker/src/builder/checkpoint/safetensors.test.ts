import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readChunks, readHeader } from './safetensors.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-safetensors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(header: unknown, data: Uint8Array): Promise<string> {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, 'model.safetensors');
  await writeFile(path, Buffer.concat([length, json, data]));
  return path;
}

async function read(path: string, name: string): Promise<number[]> {
  const values: number[] = [];
  const entry = (await readHeader(path)).get(name)!;
  for await (const chunk of readChunks(path, entry)) for (const value of chunk) values.push(value);
  return values;
}

const tensor = (dtype: string, shape: number[], bytes: number) => ({
  t: { dtype, shape, data_offsets: [0, bytes] },
});

const pair = (a: [number, number], b: [number, number]) => ({
  a: { dtype: 'F32', shape: [1], data_offsets: a },
  b: { dtype: b[1] - b[0] === 2 ? 'F16' : 'F32', shape: [1], data_offsets: b },
});

const empty = (count: number, name: (i: number) => string) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      name(i),
      { dtype: 'F32', shape: [0], data_offsets: [0, 0] },
    ]),
  );

describe('a safetensors file', () => {
  it.each<[string, Uint8Array]>([
    ['F32', new Uint8Array(Float32Array.of(1, -2.5, 0.15625, 65504).buffer)],
    ['F16', new Uint8Array(Float16Array.of(1, -2.5, 0.15625, 65504).buffer)],
    ['BF16', new Uint8Array(Uint16Array.of(0x3f80, 0xc020, 0x3e20, 0x4780).buffer)],
  ])('is read as float32 from %s', async (dtype, bytes) => {
    const path = await write(
      { __metadata__: { format: 'pt' }, ...tensor(dtype, [2, 2], bytes.length) },
      bytes,
    );
    expect(await read(path, 't')).toEqual([1, -2.5, 0.15625, dtype === 'BF16' ? 65536 : 65504]);
  });

  it('is read in chunks when a tensor is large', async () => {
    const values = Float32Array.from({ length: 3_000_000 }, (_, i) => i);
    const bytes = new Uint8Array(values.buffer);
    const path = await write(tensor('F32', [3, 1_000_000], bytes.length), bytes);
    const entry = (await readHeader(path)).get('t')!;
    let at = 0;
    let chunks = 0;
    for await (const chunk of readChunks(path, entry)) {
      expect(chunk[0]).toBe(at);
      at += chunk.length;
      chunks += 1;
    }
    expect(at).toBe(values.length);
    expect(chunks).toBeGreaterThan(1);
  });

  it.each<[string, unknown, RegExp]>([
    ['cut off data', tensor('F32', [4], 16), /"t" reaches past the end of the file/],
    ['a shape that is not that of the data', tensor('F32', [3], 8), /"t" has 8 bytes/],
    ['a header that is not JSON', '{"t": ', /not JSON/],
    ['a header without offsets', { t: { dtype: 'F32', shape: [1] } }, /data_offsets of tensor "t"/],
    ['tensors that overlap', pair([0, 4], [0, 4]), /"b" overlaps the one before it/],
    ['tensors that overlap in part', pair([0, 4], [2, 6]), /"b" overlaps the one before it/],
    ['a gap before a tensor', pair([0, 4], [6, 8]), /"b" leaves a gap before it/],
    ['bytes behind the last tensor', tensor('F32', [1], 4), /bytes that belong to no tensor/],
    ['a negative offset', pair([-8, -4], [0, 4]), /data_offsets of tensor "a"/],
    ['more tensors than any', empty(50_001, (i) => `t${i}`), /50001 tensors, and at most 50000/],
    [
      'a long name',
      empty(1, () => 'module.'.repeat(1000)),
      /name of 7000 characters, .* most 1000/,
    ],
    [
      'many dimensions',
      { t: { dtype: 'F32', shape: Array(65).fill(0), data_offsets: [0, 0] } },
      /"t" has 65 dimensions, and at most 64/,
    ],
    [
      'a long header',
      `{"__metadata__":{"a":"${'x'.repeat(1 << 24)}"}}`,
      /has a header of \d+ bytes/,
    ],
  ])('with %s is refused', async (_, header, message) => {
    const path = await write(header, new Uint8Array(8));
    await expect(readHeader(path)).rejects.toThrow(message);
  });

  it('that is a folder is refused by its path', async () => {
    const path = join(folder, 'folder.safetensors');
    await mkdir(path);
    await expect(readHeader(path)).rejects.toThrow(`${path} is a folder, not a file`);
  });

  it('with a header longer than itself is refused', async () => {
    const path = join(folder, 'short.safetensors');
    await writeFile(path, Buffer.from([255, 255, 0, 0, 0, 0, 0, 0, 1]));
    await expect(readHeader(path)).rejects.toThrow(/cut off/);
  });

  it('is refused when a weight is of integers', async () => {
    const path = await write(tensor('I64', [1], 8), new Uint8Array(8));
    await expect(read(path, 't')).rejects.toThrow(/"t" has the unsupported type I64/);
  });
});
