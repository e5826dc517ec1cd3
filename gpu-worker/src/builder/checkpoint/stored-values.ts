/** Numbers in a file, read a few MB at a time and widened to float32: what every format of weights comes down to. */
import type { FileHandle } from 'node:fs/promises';
import { naming } from '../../file-errors.ts';
import { openRegular } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';

/** Where the values of one tensor lie, one after another, little-endian. */
export type StoredValues = {
  /** Of the tensor, for messages. */
  name: string;
  path: string;
  /** As safetensors names types: F32, F16, BF16, … */
  dtype: string;
  /** First byte in the file. */
  offset: number;
};

/** A multiple of every width. */
const CHUNK_BYTES = 4 << 20;

type Widener = { width: number; widen: (bytes: Buffer<ArrayBuffer>) => Float32Array };

/** Floating-point types; weights of any other are refused. */
const WIDENERS: Record<string, Widener> = {
  F64: {
    width: 8,
    widen: (bytes) => new Float32Array(new Float64Array(bytes.buffer, 0, bytes.length / 8)),
  },
  F32: { width: 4, widen: (bytes) => new Float32Array(bytes.buffer, 0, bytes.length / 4) },
  F16: {
    width: 2,
    widen: (bytes) => new Float32Array(new Float16Array(bytes.buffer, 0, bytes.length / 2)),
  },
  BF16: {
    width: 2,
    widen: (bytes) => {
      const halves = new Uint16Array(bytes.buffer, 0, bytes.length / 2);
      const bits = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
      return new Float32Array(bits.buffer);
    },
  },
};

/**
 * Values `from` … `to` − 1, in pieces of a few MB.
 * @throws CheckpointError when they are of no floating-point type the builder knows, or the file became shorter
 */
export async function* readValues(
  { name, path, dtype, offset }: StoredValues,
  from: number,
  to: number,
): AsyncGenerator<Float32Array> {
  const widener = WIDENERS[dtype];
  if (widener === undefined) {
    throw new CheckpointError(`${path}: tensor "${name}" has the unsupported type ${dtype}`);
  }
  const { width, widen } = widener;
  const end = offset + to * width;
  await using file = await openRegular(path);
  for (let at = offset + from * width; at < end; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, end - at);
    yield widen(await naming(path, () => readExactly(file, at, length)));
  }
}

/** A fresh buffer (never pooled, so that typed arrays can be laid over it) of exactly `length` bytes. */
export async function readExactly(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.from(new ArrayBuffer(length));
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0)
      throw new CheckpointError('A weights file became shorter while it was read.');
    filled += bytesRead;
  }
  return buffer;
}
