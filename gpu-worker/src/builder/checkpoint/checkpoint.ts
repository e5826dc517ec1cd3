/** A checkpoint folder: where each tensor lies, which were used, and whether they have the shape expected. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';
import { elementCount, readChunks, readHeader, type TensorEntry } from './safetensors.ts';

/** A tensor of the checkpoint, not read yet. */
export type Tensor = {
  name: string;
  shape: readonly number[];
  /** Bytes in the checkpoint: what progress is measured in. */
  bytes: number;
  chunks: () => AsyncIterable<Float32Array>;
  /** All values; only for tensors that must be rearranged. */
  read: () => Promise<Float32Array>;
};

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * What a checkpoint is called where its model card gives no name: its folder, or the model's for a folder of
 * the hub's cache.
 * @example checkpointName('…/models--Salesforce--blip2-opt-2.7b/snapshots/<commit>') // 'blip2-opt-2.7b'
 */
export function checkpointName(folder: string): string {
  const isCommit = /^[0-9a-f]{40}$/.test(basename(folder));
  if (!isCommit || basename(dirname(folder)) !== 'snapshots') return basename(folder);
  return (
    basename(dirname(dirname(folder)))
      .split('--')
      .at(-1) ?? basename(folder)
  );
}

/** Names of the weights files, in the order of their names. */
export async function weightFiles(folder: string): Promise<string[]> {
  const present = await readdir(folder).catch(() => {
    throw new CheckpointError(`${folder} is not a folder that can be read.`);
  });
  if (present.includes('model.safetensors')) return ['model.safetensors'];
  if (!present.includes('model.safetensors.index.json')) {
    throw new CheckpointError(
      `${folder} has neither model.safetensors nor model.safetensors.index.json.`,
    );
  }
  const path = join(folder, 'model.safetensors.index.json');
  const index = ShardIndex.safeParse(await readJson(path));
  if (!index.success) throw new CheckpointError(`${path}: ${z.prettifyError(index.error)}`);
  const shards = [...new Set(Object.values(index.data.weight_map))].sort();
  for (const shard of shards) {
    if (!present.includes(shard)) throw new CheckpointError(`${folder} lacks the shard ${shard}.`);
  }
  return shards;
}

/** Size of all weights files. */
export async function weightBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const file of await weightFiles(folder)) bytes += (await stat(join(folder, file))).size;
  return bytes;
}

export class Checkpoint {
  readonly folder: string;
  readonly #places: ReadonlyMap<string, { path: string; entry: TensorEntry }>;
  readonly #taken = new Set<string>();

  private constructor(
    folder: string,
    places: ReadonlyMap<string, { path: string; entry: TensorEntry }>,
  ) {
    this.folder = folder;
    this.#places = places;
  }

  static async open(folder: string): Promise<Checkpoint> {
    const places = new Map<string, { path: string; entry: TensorEntry }>();
    for (const file of await weightFiles(folder)) {
      const path = join(folder, file);
      for (const [name, entry] of await readHeader(path)) {
        if (places.has(name)) throw new CheckpointError(`Tensor "${name}" is in two shards.`);
        places.set(name, { path, entry });
      }
    }
    return new Checkpoint(folder, places);
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** @throws CheckpointError naming the tensor when it is missing or of another shape */
  take(name: string, shape: readonly number[]): Tensor {
    const place = this.#places.get(name);
    if (place === undefined) {
      throw new CheckpointError(`The checkpoint lacks the tensor "${name}" [${shape}].`);
    }
    const { path, entry } = place;
    if (entry.shape.length !== shape.length || entry.shape.some((dim, i) => dim !== shape[i])) {
      throw new CheckpointError(
        `Tensor "${name}" has the shape [${entry.shape}], the config asks for [${shape}].`,
      );
    }
    this.#taken.add(name);
    const chunks = () => readChunks(path, entry);
    return { name, shape, bytes: entry.bytes, chunks, read: () => gather(chunks(), shape) };
  }

  /** @throws CheckpointError naming tensors that nothing has used, apart from those `known` to be idle */
  expectAllTaken(known: readonly RegExp[]): void {
    const unknown = [...this.#places.keys()].filter(
      (name) => !this.#taken.has(name) && !known.some((pattern) => pattern.test(name)),
    );
    if (unknown.length > 0) {
      const more = unknown.length > 3 ? ` and ${unknown.length - 3} more` : '';
      throw new CheckpointError(
        `The checkpoint has tensors this model does not know: ${unknown.slice(0, 3).join(', ')}${more}.`,
      );
    }
  }
}

async function gather(
  chunks: AsyncIterable<Float32Array>,
  shape: readonly number[],
): Promise<Float32Array> {
  const values = new Float32Array(elementCount(shape));
  let at = 0;
  for await (const chunk of chunks) {
    values.set(chunk, at);
    at += chunk.length;
  }
  return values;
}
