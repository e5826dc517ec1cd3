/** Reads one `.safetensors` file: the header as a whole, the tensors a chunk at a time, as float32. */
import * as z from 'zod/mini';
import { elementCount } from '../../onnx/weight.ts';
import { openRegular } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';
import { readExactly, readValues } from './stored-values.ts';
import { expectTensorCount, expectTensorInBounds, MAX_TENSORS } from './tensor-source.ts';

/** Bytes a value takes in the file. */
const DTYPE_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8 } as const;
type Dtype = keyof typeof DTYPE_BYTES;

export type TensorEntry = {
  name: string;
  dtype: string;
  shape: readonly number[];
  /** First byte in the file, and the length in bytes. */
  offset: number;
  bytes: number;
};

/** Some hundred bytes for each tensor. */
const MAX_HEADER_BYTES = 16 << 20;

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
  await using file = await openRegular(path);
  const fail = (why: string) => new CheckpointError(`${path}: ${why}`);
  const { size } = await file.stat();
  if (size < 8) throw fail('is too short to be a safetensors file: download it again');
  const length = Number((await readExactly(file, 0, 8)).readBigUInt64LE());
  if (8 + length > size) {
    throw fail(
      'is cut off or not a safetensors file, its header is longer than the file: download it again',
    );
  }
  if (length > MAX_HEADER_BYTES) {
    throw fail(
      `has a header of ${length} bytes, and at most ${MAX_HEADER_BYTES} are supported, which ${MAX_TENSORS} tensors need: it is damaged`,
    );
  }
  const content = parseHeader((await readExactly(file, 8, length)).toString(), fail);
  expectTensorCount(Object.keys(content).length, fail);
  const header = Header.safeParse(content);
  if (!header.success) {
    const [name, member] = header.error.issues[0]?.path ?? [];
    const tensor =
      name === undefined ? '' : `: ${String(member ?? 'entry')} of tensor "${String(name)}"`;
    throw fail(`header is not that of a safetensors file${tensor}`);
  }
  const entries = new Map<string, TensorEntry>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header.data)) {
    expectTensorInBounds(name, shape, fail);
    const [start, end] = data_offsets;
    const offset = 8 + length + start;
    if (end < start || 8 + length + end > size) {
      throw fail(
        `tensor "${name}" reaches past the end of the file: it is cut off, download it again`,
      );
    }
    const unit = DTYPE_BYTES[dtype as Dtype];
    if (unit !== undefined && elementCount(shape) * unit !== end - start) {
      throw fail(`tensor "${name}" has ${end - start} bytes, not those of ${dtype} [${shape}]`);
    }
    entries.set(name, { name, dtype, shape, offset, bytes: end - start });
  }
  expectNoGaps([...entries.values()], { from: 8 + length, to: size }, fail);
  return entries;
}

/** As the format has it, each byte behind the header belongs to one tensor: else an offset is damaged, and the weights are others'. */
function expectNoGaps(
  entries: readonly TensorEntry[],
  { from, to }: { from: number; to: number },
  fail: (why: string) => Error,
): void {
  let end = from;
  for (const { name, offset, bytes } of entries.toSorted(
    (a, b) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    if (offset !== end) {
      const what = offset < end ? 'overlaps the one before it' : 'leaves a gap before it';
      throw fail(`tensor "${name}" ${what}: the file is damaged, download it again`);
    }
    end += bytes;
  }
  if (end !== to)
    throw fail('has bytes that belong to no tensor: it is damaged, download it again');
}

/**
 * Values of a tensor in order, widened to float32, in chunks of a few MB.
 * @throws CheckpointError when the tensor is not of a floating-point type the builder knows
 */
export function readChunks(
  path: string,
  entry: TensorEntry,
  from = 0,
  to = elementCount(entry.shape),
): AsyncGenerator<Float32Array> {
  return readValues({ path, ...entry }, from, to);
}

function parseHeader(text: string, fail: (why: string) => Error): object {
  try {
    const { __metadata__: _, ...tensors } = JSON.parse(text);
    return tensors;
  } catch {
    throw fail('header is not JSON');
  }
}
