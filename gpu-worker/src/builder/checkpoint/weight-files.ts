/** Which files of a folder hold the weights: those that transformers would load, or the one file of another trainer. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { parseOrThrow } from '../config/schema-helpers.ts';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';
import { readChunks, readHeader } from './safetensors.ts';
import {
  expectTensorCount,
  renamed,
  type StoredTensor,
  type TensorSource,
  united,
} from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';

export type WeightFiles = {
  format: 'safetensors' | 'torch';
  files: string[];
  /** Of shards: the name of their index, and in which of them it says that each tensor is. */
  index?: { file: string; shardOf: ReadonlyMap<string, string> };
};

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
    if (present.includes(index)) return { format, ...(await shardsOf(folder, index, present)) };
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
  file: string,
  present: readonly string[],
): Promise<Pick<WeightFiles, 'files' | 'index'>> {
  const path = join(folder, file);
  const { weight_map } = parseOrThrow(ShardIndex, await readJson(path), path);
  const shardOf = new Map(Object.entries(weight_map));
  expectTensorCount(shardOf.size, (why) => new CheckpointError(`${path}: ${why}.`));
  const files = [...new Set(shardOf.values())].sort();
  if (files.length === 0) throw new CheckpointError(`${path} names no shard.`);
  const missing = files.filter((shard) => !present.includes(shard));
  if (missing.length > 0) {
    const [what, them] = missing.length === 1 ? ['the shard', 'it'] : ['the shards', 'them'];
    throw new CheckpointError(
      `${folder} lacks ${what} ${missing.join(', ')}, which ${file} names: download ${them}, or the whole checkpoint again.`,
    );
  }
  const sets = new Set(files.map(setOf));
  const extra = present.filter((name) => sets.has(setOf(name)) && !files.includes(name));
  if (extra.length > 0) {
    throw new CheckpointError(
      `${path} does not name ${extra.join(', ')}, of the same set as ${files[0]}: index and shards are of different saves. Download the checkpoint again.`,
    );
  }
  return { files, index: { file, shardOf } };
}

/** @example 'model-00002-of-00003.safetensors' → 'model-*-of-00003.safetensors' */
function setOf(shard: string): string {
  return shard.replace(/-\d+(?=-of-\d+\.)/, '-*');
}

/**
 * Of the files in a folder those that would be read. What lies beside them may be anything, a pointer of git-LFS too.
 * @param only the file that was given
 */
export function filesRead(present: readonly string[], only: string | null): string[] {
  const isSmall = (name: string) => /\.(json|txt|model)$/.test(name);
  const isAdapter = (name: string) => /^adapter_model\.(safetensors|bin)$/.test(name);
  const known: readonly string[] = LAVIS_IMAGE_ENCODERS;
  const usual = NAMES.find(({ whole, index }) => [whole, index].some((f) => present.includes(f)));
  const isWeights = (name: string): boolean => {
    if (only !== null) return name === only;
    if (usual === undefined) return !NO_WEIGHTS.test(name);
    if (present.includes(usual.whole)) return name === usual.whole;
    return SHARD.test(name) && name.endsWith(usual.whole.replace(/^.*\./, '.'));
  };
  return present.filter(
    (name) => isSmall(name) || isAdapter(name) || known.includes(name) || isWeights(name),
  );
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
  { format, files, index }: WeightFiles,
): Promise<{ tensors: TensorSource; beside: Beside }> {
  const sources: TensorSource[] = [];
  const named = Map.groupBy(index?.shardOf ?? [], ([, shard]) => shard);
  let beside: Beside = new Map();
  for (const file of files) {
    const path = join(folder, file);
    const opened =
      format === 'safetensors'
        ? { tensors: await openSafetensors(path), beside }
        : await openTorchFile(path);
    for (const [name] of named.get(file) ?? []) {
      if (opened.tensors.has(name)) continue;
      throw new CheckpointError(
        `${join(folder, index?.file ?? '')} says that "${name}" is in ${file}, which does not hold it: index and shards are of different saves. Download the checkpoint again.`,
      );
    }
    sources.push(opened.tensors);
    beside = opened.beside;
  }
  return { tensors: unwrapped(united(sources)), beside };
}

/** What training wraps a model in: data parallel, torch.compile, Lightning. */
const WRAPPERS = ['module.', '_orig_mod.', 'model.'];
/** Stands at the top of every BLIP-2. */
const QUERIES = 'query_tokens';

/** Without what every name begins with: a wrapper's own name, or that of the model within another. */
function unwrapped(tensors: TensorSource): TensorSource {
  const queries = tensors.keys().find((name) => name.endsWith(`.${QUERIES}`));
  const within = queries === undefined ? [] : [queries.slice(0, -QUERIES.length)];
  const wrapper = [...WRAPPERS, ...within].find((start) =>
    tensors.keys().every((name) => name.startsWith(start)),
  );
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
