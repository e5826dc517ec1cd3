/** Writes a safetensors file of float32 tensors, for tests of what may be in one. */
import { writeFile } from 'node:fs/promises';

/** @param tensors shapes by name; every value is 0.5 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, readonly number[]>>,
): Promise<void> {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const start = end;
    end += 4 * shape.reduce((product, dim) => product * dim, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [start, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const values = Buffer.from(new Float32Array(end / 4).fill(0.5).buffer);
  await writeFile(path, Buffer.concat([length, json, values]));
}
