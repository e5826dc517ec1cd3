/** Reads one `.safetensors` file: the header as a whole, the tensors a piece at a time, as float32. */
import { type FileHandle, open } from 'node:fs/promises';
import * as z from 'zod/mini';
import { elementCount } from '../../onnx/weight.ts';
import { CheckpointError } from '../errors.ts';

/** Bytes a value takes in the file. */
const DTYPE_BYTES = { F32: 4, F16: 2, BF16: 2, I64: 8 } as const;
type Dtype = keyof typeof DTYPE_BYTES;

export type TensorEntry = {
  name: string;
  dtype: string;
  shape: readonly number[];
  /** First byte in the file, and the length in bytes. */
  offset: number;
  bytes: number;
};

const MAX_HEADER_BYTES = 100_000_000;
const CHUNK_BYTES = 4 << 20;

const Header = z.record(
  z.string(),
  z.object({
    dtype: z.string(),
    shape: z.array(z.int().check(z.nonnegative())),
    data_offsets: z.tuple([z.int().check(z.nonnegative()), z.int().check(z.nonnegative())]),
  }),
);

/**
 * Entries of a file, by tensor name.
 * @throws CheckpointError when the header cannot be read or does not agree with the file's length
 */
export async function readHeader(path: string): Promise<Map<string, TensorEntry>> {
  await using file = await open(path);
  const { size } = await file.stat();
  const fail = (why: string) => new CheckpointError(`${path}: ${why}`);
  if (size < 8) throw fail('is too short to be a safetensors file');
  const length = Number((await readExactly(file, 0, 8)).readBigUInt64LE());
  if (length > MAX_HEADER_BYTES || 8 + length > size) {
    throw fail('is cut off or not a safetensors file: the header is longer than the file');
  }
  const header = Header.safeParse(
    parseHeader((await readExactly(file, 8, length)).toString(), fail),
  );
  if (!header.success) throw fail(`header is not valid: ${z.prettifyError(header.error)}`);
  const entries = new Map<string, TensorEntry>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header.data)) {
    const [start, end] = data_offsets;
    const offset = 8 + length + start;
    if (end < start || 8 + length + end > size) {
      throw fail(`tensor "${name}" reaches past the end of the file: it is cut off`);
    }
    const unit = DTYPE_BYTES[dtype as Dtype];
    if (unit !== undefined && elementCount(shape) * unit !== end - start) {
      throw fail(`tensor "${name}" has ${end - start} bytes, not those of ${dtype} [${shape}]`);
    }
    entries.set(name, { name, dtype, shape, offset, bytes: end - start });
  }
  return entries;
}

/**
 * Values of a tensor in order, widened to float32, in pieces of a few MB.
 * @throws CheckpointError when the tensor is not of a floating-point type the builder knows
 */
export async function* readChunks(path: string, entry: TensorEntry): AsyncGenerator<Float32Array> {
  const widen = WIDEN[entry.dtype];
  if (widen === undefined) {
    throw new CheckpointError(
      `${path}: tensor "${entry.name}" has the unsupported type ${entry.dtype}`,
    );
  }
  await using file = await open(path);
  for (let done = 0; done < entry.bytes; done += CHUNK_BYTES) {
    yield widen(
      await readExactly(file, entry.offset + done, Math.min(CHUNK_BYTES, entry.bytes - done)),
    );
  }
}

const WIDEN: Record<string, (bytes: Buffer<ArrayBuffer>) => Float32Array> = {
  F32: (bytes) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
  F16: (bytes) =>
    new Float32Array(new Float16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)),
  BF16: (bytes) => {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    const bits = new Uint32Array(halves.length);
    for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
    return new Float32Array(bits.buffer);
  },
};

function parseHeader(text: string, fail: (why: string) => Error): unknown {
  try {
    const { __metadata__: _, ...tensors } = JSON.parse(text);
    return tensors;
  } catch {
    throw fail('header is not JSON');
  }
}

/** A fresh buffer (never pooled, so that typed arrays can be laid over it) of exactly `length` bytes. */
async function readExactly(
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
