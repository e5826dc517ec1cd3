/** A checkpoint folder: where each tensor is stored, which were used, and whether they have the expected shape. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { elementCount } from '../../onnx/weight.ts';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';
import { readChunks, readHeader, type TensorEntry } from './safetensors.ts';

/** A tensor of the checkpoint, not read yet. */
export type Tensor = {
  name: string;
  shape: readonly number[];
  /** Bytes in the checkpoint: what progress is measured in. */
  bytes: number;
  chunks: () => AsyncIterable<Float32Array>;
  /** All values at once; only for tensors that must be rearranged. */
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
  readonly #stored: ReadonlyMap<string, { path: string; entry: TensorEntry }>;
  readonly #used = new Set<string>();

  private constructor(
    folder: string,
    stored: ReadonlyMap<string, { path: string; entry: TensorEntry }>,
  ) {
    this.folder = folder;
    this.#stored = stored;
  }

  static async open(folder: string): Promise<Checkpoint> {
    const stored = new Map<string, { path: string; entry: TensorEntry }>();
    for (const file of await weightFiles(folder)) {
      const path = join(folder, file);
      for (const [name, entry] of await readHeader(path)) {
        if (stored.has(name)) throw new CheckpointError(`Tensor "${name}" is in two shards.`);
        stored.set(name, { path, entry });
      }
    }
    return new Checkpoint(folder, stored);
  }

  has(name: string): boolean {
    return this.#stored.has(name);
  }

  /**
   * A tensor, which counts as used from now on.
   * @throws CheckpointError naming the tensor when it is missing or of another shape
   */
  tensor(name: string, shape: readonly number[]): Tensor {
    const found = this.#stored.get(name);
    if (found === undefined) {
      throw new CheckpointError(`The checkpoint lacks the tensor "${name}" [${shape}].`);
    }
    const { path, entry } = found;
    if (entry.shape.length !== shape.length || entry.shape.some((dim, i) => dim !== shape[i])) {
      throw new CheckpointError(
        `Tensor "${name}" has the shape [${entry.shape}], the config asks for [${shape}].`,
      );
    }
    this.#used.add(name);
    const chunks = () => readChunks(path, entry);
    return { name, shape, bytes: entry.bytes, chunks, read: () => readAll(chunks(), shape) };
  }

  /** @throws CheckpointError naming tensors that nothing has used, apart from those to be `ignored` */
  ensureAllUsed(ignored: readonly RegExp[]): void {
    const unused = [...this.#stored.keys()].filter(
      (name) => !this.#used.has(name) && !ignored.some((pattern) => pattern.test(name)),
    );
    if (unused.length > 0) {
      const more = unused.length > 3 ? ` and ${unused.length - 3} more` : '';
      throw new CheckpointError(
        `The checkpoint has tensors this model does not know: ${unused.slice(0, 3).join(', ')}${more}.`,
      );
    }
  }
}

async function readAll(
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
