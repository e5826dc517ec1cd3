/** Which files of a folder hold the weights: those that transformers would load, or the one file of another trainer. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';
import { readChunks, readHeader } from './safetensors.ts';
import { renamed, type StoredTensor, type TensorSource, united } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';

export type WeightFiles = { format: 'safetensors' | 'torch'; files: string[] };

/** What a file of weights holds beside them: a trainer's config, say. */
export type Beside = ReadonlyMap<unknown, unknown>;

const ShardIndex = z.object({ weight_map: z.record(z.string(), z.string()) });

/** In the order in which transformers prefers them. */
const NAMES = [
  { format: 'safetensors', whole: 'model.safetensors', index: 'model.safetensors.index.json' },
  { format: 'torch', whole: 'pytorch_model.bin', index: 'pytorch_model.bin.index.json' },
] as const;

/** Image encoders that LAVIS loads from files of their own. */
export const LAVIS_IMAGE_ENCODERS = ['eva_vit_g.pth', 'clip_vit_L.pth'] as const;

const TORCH_FILE = /\.(bin|pth|pt|ckpt)$/;
/** What trainers leave beside weights. */
const NO_WEIGHTS =
  /^(adapter_model|training_args|optimizer|scheduler|scaler|trainer_state|rng_state\w*|random_states\w*)\.(bin|pth|pt|pkl)$/;

/**
 * The weights of a folder, in the order of their names; null where it has none.
 * @param present names of its files
 * @throws CheckpointError when shards are missing, or several files may be meant
 */
export async function findWeights(
  folder: string,
  present: readonly string[],
): Promise<WeightFiles | null> {
  for (const { format, whole, index } of NAMES) {
    if (present.includes(whole)) return { format, files: [whole] };
    if (present.includes(index)) {
      return { format, files: await shardsOf(folder, index, present) };
    }
  }
  const known: readonly string[] = LAVIS_IMAGE_ENCODERS;
  const others = present.filter(
    (file) => TORCH_FILE.test(file) && !NO_WEIGHTS.test(file) && !known.includes(file),
  );
  if (others.length === 0 || others.some((file) => SHARD.test(file))) return null;
  if (others.length === 1) return { format: 'torch', files: others };
  throw new CheckpointError(
    `${folder} has several files that may be the weights: ${others.join(', ')}. Give the path of one of them.`,
  );
}

const SHARD = /-\d+-of-\d+\./;

async function shardsOf(
  folder: string,
  index: string,
  present: readonly string[],
): Promise<string[]> {
  const path = join(folder, index);
  const parsed = ShardIndex.safeParse(await readJson(path));
  if (!parsed.success) throw new CheckpointError(`${path}: ${z.prettifyError(parsed.error)}`);
  const shards = [...new Set(Object.values(parsed.data.weight_map))].sort();
  for (const shard of shards) {
    if (!present.includes(shard)) throw new CheckpointError(`${folder} lacks the shard ${shard}.`);
  }
  return shards;
}

/** Size of all files. */
export async function totalBytes(paths: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) bytes += (await stat(path)).size;
  return bytes;
}

/** Headers of all files; no weight is read. */
export async function openWeights(
  folder: string,
  { format, files }: WeightFiles,
): Promise<{ tensors: TensorSource; beside: Beside }> {
  const sources: TensorSource[] = [];
  let beside: Beside = new Map();
  for (const file of files) {
    const path = join(folder, file);
    if (format === 'safetensors') sources.push(await openSafetensors(path));
    else {
      const opened = await openTorchFile(path);
      sources.push(opened.tensors);
      beside = opened.beside;
    }
  }
  return { tensors: unwrapped(united(sources)), beside };
}

/** What training wraps a model in: data parallel, torch.compile, Lightning. */
const WRAPPERS = ['module.', '_orig_mod.', 'model.'];

/** Without what every name begins with. */
function unwrapped(tensors: TensorSource): TensorSource {
  const wrapper = WRAPPERS.find((start) => tensors.keys().every((name) => name.startsWith(start)));
  if (wrapper === undefined || tensors.size === 0) return tensors;
  return unwrapped(renamed(tensors, (name) => name.slice(wrapper.length)));
}

/** The tensors of one `.safetensors` file. */
export async function openSafetensors(path: string): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of await readHeader(path)) {
    const { shape, dtype, bytes, offset } = entry;
    const read: StoredTensor['read'] = (from, to) => readChunks(path, entry, from, to);
    tensors.set(name, { shape, dtype, bytes, origin: `${path}:${offset}`, read });
  }
  return tensors;
}
