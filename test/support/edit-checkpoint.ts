/** Changes the header of a checkpoint's weights file, for tests that the builder notices it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Tensors by name; the bytes they point at stay as they are. */
export type Header = Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;

/** Rewrites the header of `model.safetensors`. */
export async function editTensors(
  checkpoint: string,
  edit: (header: Header) => void,
): Promise<void> {
  const path = join(checkpoint, 'model.safetensors');
  const file = await readFile(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start));
  edit(header);
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([length, json, file.subarray(start)]));
}
