/** Formats the embeddings of many images as a stream: JSON lines, a file of safetensors, or one of NumPy (`.npz`). */
import type { EmbeddingShape } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { EmbeddingsLookupLine } from '@blip2/shared/schemas/embeddings';
import { converted, type Found, type FoundOrMissing } from './lookup-many.ts';
import { textsToNpy, toNpy } from './npy.ts';
import { zip } from './zip.ts';

type Entries = AsyncGenerator<FoundOrMissing, void, undefined>;
type Chunks = AsyncGenerator<Uint8Array, void, undefined>;

/**
 * A line for each image. One that breaks off says why in its last.
 * @param inTurn makes a line when its client's turn has come
 */
export async function* toJsonLines(
  entries: Entries,
  shape: EmbeddingShape,
  inTurn: <T>(make: () => T) => Promise<T> = async (make) => make(),
): Chunks {
  const encoder = new TextEncoder();
  const line = (value: EmbeddingsLookupLine) => encoder.encode(`${JSON.stringify(value)}\n`);
  let hasBegun = false;
  try {
    for await (const entry of entries) {
      const write = () => line(lineOf(entry, shape));
      yield entry.payload === undefined ? write() : await inTurn(write);
      hasBegun = true;
    }
  } catch (thrown) {
    // Before the first line it is a reply with a status.
    if (!hasBegun) throw thrown;
    yield line({ error: ApiError.from(thrown).toProblem() });
  }
}

function lineOf(
  entry: FoundOrMissing,
  { numQueries, hidden }: EmbeddingShape,
): EmbeddingsLookupLine {
  const { id: sha256 } = entry;
  if (entry.payload === undefined) return { sha256, missing: true };
  const { buffer } = entry.payload.slice();
  const values = entry.type === 'float16' ? new Float16Array(buffer) : new Float32Array(buffer);
  const embeddings = Array.from({ length: numQueries }, (_, query) =>
    Array.from(values.subarray(query * hidden, (query + 1) * hidden)),
  );
  return { sha256, embeddings, image: entry.image };
}

/** An array for each image under its hash, and `missing`, the hashes of which nothing is cached. */
export function toNpz(entries: Entries, shape: EmbeddingShape): Chunks {
  return zip(npyFiles(entries, [shape.numQueries, shape.hidden]));
}

async function* npyFiles(
  entries: Entries,
  shape: readonly [number, number],
): AsyncGenerator<{ name: string; bytes: Uint8Array }, void, undefined> {
  const missing: ImageId[] = [];
  for await (const entry of entries) {
    if (entry.payload === undefined) missing.push(entry.id);
    else yield { name: `${entry.id}.npy`, bytes: toNpy(entry, shape) };
  }
  yield { name: 'missing.npy', bytes: textsToNpy(missing) };
}

/** What a file of safetensors says before its values: which images it has, and in which type. */
export type Listed = { found: Pick<Found, 'id' | 'type'>[]; missing: ImageId[] };

const DTYPE = { float16: { name: 'F16', bytes: 2 }, float32: { name: 'F32', bytes: 4 } } as const;

/**
 * A tensor for each image under its hash. The values of all of them are not held meanwhile: they are looked up again.
 * @param metadata texts by name, beside `missing`, a list of hashes in JSON
 * @param entries those that `listed` has found, in its order
 */
export function toSafetensors(
  { found, missing }: Listed,
  { numQueries, hidden }: EmbeddingShape,
  metadata: Readonly<Record<string, string>>,
  entries: Entries,
): { bytes: number; chunks: Chunks } {
  let end = 0;
  const tensors = found.map(({ id, type }) => {
    const { name: dtype, bytes } = DTYPE[type];
    const data_offsets = [end, end + numQueries * hidden * bytes];
    end += numQueries * hidden * bytes;
    return [id, { dtype, shape: [numQueries, hidden], data_offsets }] as const;
  });
  const about = { ...metadata, missing: JSON.stringify(missing) };
  const json = JSON.stringify({ __metadata__: about, ...Object.fromEntries(tensors) });
  const text = new TextEncoder().encode(json);
  // Values begin at a multiple of eight: spaces fill the header up.
  const head = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);
  return { bytes: head.length + end, chunks: tensorsOf(head, found, entries) };
}

async function* tensorsOf(head: Uint8Array, found: Listed['found'], entries: Entries): Chunks {
  yield head;
  let index = 0;
  for await (const entry of entries) {
    const listed = found[index++];
    // Deleted since: a file that lacks it is no file.
    if (entry.payload === undefined || listed === undefined) throw new Error('embeddings are gone');
    yield converted(entry.payload, entry.type, listed.type);
  }
}
