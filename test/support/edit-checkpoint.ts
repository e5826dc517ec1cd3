/** Changes the tensors of a checkpoint's weights file, for tests that the builder notices it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Tensors by name, and the bytes of the file as it was that each of them has. */
export type Header = Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;

/** Rewrites `model.safetensors`, each tensor with bytes of its own, one behind the other. */
export async function editTensors(
  checkpoint: string,
  edit: (header: Header) => void,
): Promise<void> {
  const path = join(checkpoint, 'model.safetensors');
  const file = await readFile(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start));
  edit(header);
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, tensor] of Object.entries(header as Header)) {
    if (name === '__metadata__') continue;
    const [from = 0, to = 0] = tensor.data_offsets;
    data.push(file.subarray(start + from, start + to));
    // An entry may stand under two names.
    header[name] = { ...tensor, data_offsets: [end, end + to - from] };
    end += to - from;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([length, json, ...data]));
}
