/** Writes a checkpoint of random bf16 weights in shards, as on a hub. */
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@blip2/gpu-worker/make-folder';
import type { FullSize, TensorShape } from './checkpoints.ts';
import { TOKENIZERS } from './tokenizers.ts';

/** Largest shard, bytes: that of the published ones. */
const SHARD_BYTES = 5e9;
const BF16_BYTES = 2;

/** `random`: values of small random weights. `holes`: nothing on the disk but names and shapes, all values zero. */
export type Fill = 'random' | 'holes';

/** @param onProgress called with the bytes written so far, and of all */
export async function writeCheckpoint(
  { config, tensors, tokenizer, vocabulary, qformerVocabulary }: FullSize,
  folder: string,
  fill: Fill,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  await makeFolder(folder);
  const total = tensors.reduce((sum, [, shape]) => sum + bytesOf(shape), 0);
  const shards = intoShards(tensors);
  const nameOf = (index: number) =>
    `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
  const weight_map: Record<string, string> = {};
  let done = 0;
  for (const [index, shard] of shards.entries()) {
    for (const [name] of shard) weight_map[name] = nameOf(index);
    await using file = await open(join(folder, nameOf(index)), 'w');
    for await (const bytes of writeShard(file, shard, fill)) {
      done += bytes;
      onProgress(done, total);
    }
  }
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const indexFile = json({ metadata: { total_size: total }, weight_map });
  await writeFile(join(folder, 'model.safetensors.index.json'), indexFile);
  await writeFile(join(folder, 'config.json'), json(config));
  const made = TOKENIZERS[tokenizer](vocabulary);
  await writeFile(join(folder, 'tokenizer.json'), json(made));
  if (qformerVocabulary === undefined) return;
  const inner = join(folder, 'qformer_tokenizer');
  await makeFolder(inner);
  await writeFile(join(inner, 'tokenizer.json'), json(TOKENIZERS.wordpiece(qformerVocabulary)));
}

function number(index: number): string {
  return String(index).padStart(5, '0');
}

function bytesOf(shape: readonly number[]): number {
  return BF16_BYTES * shape.reduce((product, dim) => product * dim, 1);
}

function intoShards(tensors: readonly TensorShape[]): TensorShape[][] {
  const shards: TensorShape[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = bytesOf(tensor[1]);
    if (bytes + size > SHARD_BYTES && bytes > 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(tensor);
    bytes += size;
  }
  return shards;
}

async function* writeShard(file: FileHandle, tensors: readonly TensorShape[], fill: Fill) {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of tensors) {
    const start = end;
    end += bytesOf(shape);
    header[name] = { dtype: 'BF16', shape, data_offsets: [start, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await file.write(Buffer.concat([length, text]));
  const start = 8 + text.length;
  if (fill === 'holes') {
    await file.truncate(start + end);
    yield end;
    return;
  }
  let at = start;
  for (const [index, [name, shape]] of tensors.entries()) {
    for (const chunk of randomChunks(name, bytesOf(shape), index)) {
      await file.write(chunk, 0, chunk.length, at);
      at += chunk.length;
      yield chunk.length;
    }
  }
}

const POOL_VALUES = 1 << 23;
let pool: Uint16Array | undefined;

/**
 * Values of about the size that trained ones have: norms near one, the rest within ± 0.035. All tensors are cut from one
 * pool at different offsets: distinct weights, made at the speed of the disk.
 */
function* randomChunks(name: string, bytes: number, seed: number): Generator<Uint8Array> {
  pool ??= randomPool();
  const isNorm = /norm.*\.weight$/i.test(name);
  const values = bytes / BF16_BYTES;
  let from = (seed * 7_368_787) % POOL_VALUES;
  for (let done = 0; done < values; ) {
    const count = Math.min(values - done, POOL_VALUES - from);
    const some = pool.slice(from, from + count);
    // 1 ± 1/64 in bf16: its lowest two bits after 0x3f80 and before it.
    if (isNorm) for (let i = 0; i < count; i++) some[i] = 0x3f7e + ((some[i] as number) & 3);
    yield new Uint8Array(some.buffer, 0, 2 * count);
    done += count;
    from = (done * 31 + seed) % 4096;
  }
}

/** bf16 values, uniform within ± 0.035 */
function randomPool(): Uint16Array {
  const values = new Uint16Array(POOL_VALUES);
  const bits = new DataView(new ArrayBuffer(4));
  let state = 0x2545f491;
  for (let i = 0; i < POOL_VALUES; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bits.setFloat32(0, (state / 2 ** 31) * 0.035);
    values[i] = bits.getUint16(0);
  }
  return values;
}
