/** An adapter of peft laid over the tensors of its base: LoRA, DoRA, LoHa, IA3, and modules that were trained whole. */
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import {
  ADAPTER_CONFIG,
  type AdapterConfig,
  isTarget,
  readAdapterConfig,
  scaleOf,
} from './adapter-config.ts';
import {
  hadamardDelta,
  lowRankDelta,
  type Matrix,
  mergedRows,
  scaledRows,
} from './adapter-math.ts';
import { moduleOf, type Parts, rootOf, sortedTensors } from './adapter-names.ts';
import {
  expectOtherThanPositions,
  expectOwnEmbedding,
  isResizedVocabulary,
  untied,
  withTiedTensors,
} from './adapter-vocabulary.ts';
import { readAll, type StoredTensor, type TensorSource } from './tensor-source.ts';
import { openTorchFile } from './torch-file.ts';
import { openSafetensors } from './weight-files.ts';

export type Adapter = { folder: string; file: string; config: AdapterConfig };

/** In the order in which peft prefers them. */
const ADAPTER_FILES = ['adapter_model.safetensors', 'adapter_model.bin'];

/**
 * The adapter of a folder; null where there is none.
 * @param present names of its files
 */
export async function findAdapter(
  folder: string,
  present: readonly string[],
  ignored: readonly string[],
): Promise<Adapter | null> {
  if (!present.includes(ADAPTER_CONFIG)) return null;
  const config = await readAdapterConfig(join(folder, ADAPTER_CONFIG), ignored);
  const file = ADAPTER_FILES.find((name) => present.includes(name));
  if (file === undefined) {
    throw new CheckpointError(`${folder} has ${ADAPTER_CONFIG} but no ${ADAPTER_FILES[0]}.`);
  }
  return { folder, file, config };
}

/**
 * The base's tensors, those that the adapter changes merged when they are read.
 * @param isTied whether the language model's head is its embedding where the file has one of them
 * @throws CheckpointError naming a module or tensor of the adapter that is not the base's, or cannot be merged
 */
export async function mergeAdapter(
  base: TensorSource,
  { folder, file, config }: Adapter,
  isTied: boolean,
): Promise<TensorSource> {
  const path = join(folder, file);
  const tensors = file.endsWith('.bin')
    ? (await openTorchFile(path)).tensors
    : await openSafetensors(path);
  const { changes, replacements } = sortedTensors(tensors, path);
  const originals = withTiedTensors(base, isTied);
  const root = rootOf(originals, [...changes.keys(), ...replacements.keys()], path);
  const fail = (why: string) => new CheckpointError(`${path}: ${why}.`);
  const merged = new Map<string, StoredTensor>();
  for (const [name, tensor] of replacements) {
    const original = originals.get(root + name);
    if (original === undefined) throw fail(`"${name}" is no tensor of the base`);
    if (!isResizedVocabulary(root + name, tensor, original)) {
      expectOwnEmbedding(root + moduleOf(name), fail);
      expectShape(name, tensor, original.shape, fail);
    }
    merged.set(root + name, tensor);
  }
  // What was trained whole may be changed on top of that: peft saves an embedding beside the adapter of it.
  const before = (name: string) => merged.get(name) ?? originals.get(name);
  for (const [module, parts] of changes) {
    if (!isTarget(config, module)) {
      throw fail(`"${module}" is changed, which ${ADAPTER_CONFIG} does not name`);
    }
    expectOwnEmbedding(root + module, fail);
    expectOtherThanPositions(root + module, fail);
    const [weight, bias] = [`${root}${module}.weight`, `${root}${module}.bias`];
    const shift = mergedBias(before(bias), parts, config, { module, fail });
    merged.set(weight, mergedWeight(before(weight), parts, config, { module, fail }));
    if (shift !== null) merged.set(bias, shift);
  }
  return untied(base, originals, merged);
}

type Context = { module: string; fail: (why: string) => Error };

function mergedWeight(
  original: StoredTensor | undefined,
  parts: Parts,
  config: AdapterConfig,
  { module, fail }: Context,
): StoredTensor {
  if (original === undefined) throw fail(`"${module}" has no weight in the base`);
  const part = (name: string) => {
    const tensor = parts.get(name);
    if (tensor === undefined) throw fail(`"${module}" lacks ${name}`);
    return tensor;
  };
  const [rows = 1, ...inner] = original.shape;
  const width = inner.reduce((product, dim) => product * dim, 1);
  switch (config.peft_type) {
    case 'IA3': {
      const vector = part('ia3_l');
      const [a, b] = vector.shape;
      const isOfRows = a === rows && b === 1;
      if (inner.length !== 1 || !(isOfRows || (a === 1 && b === width))) {
        throw fail(`"${module}" has ${shapeOf(vector)} for a weight [${original.shape}]`);
      }
      return scaledRows(original, vector, isOfRows ? 'rows' : 'columns');
    }
    case 'LOHA': {
      const { scale, rank } = scaleOf(config, module);
      if (inner.length !== 1) throw fail(`"${module}" is no linear layer`);
      const matrix = (name: string, shape: [number, number]): Matrix => {
        expectShape(`${module}.${name}`, part(name), shape, fail);
        return { shape, read: () => readAll(part(name)) };
      };
      const factors = ['hada_w1', 'hada_w2'].map((name) => ({
        left: matrix(`${name}_a`, [rows, rank]),
        right: matrix(`${name}_b`, [rank, width]),
      }));
      return mergedRows(original, hadamardDelta(factors, scale), null);
    }
    case 'LORA': {
      const { scale, rank } = scaleOf(config, module);
      const pair = lowRankPair(parts, { rank, rows, width, module, fail });
      const magnitude = config.use_dora ? part('lora_magnitude_vector') : null;
      if (magnitude !== null) {
        if (inner.length !== 1 || pair.isEmbedding)
          throw fail(`"${module}" is no linear layer: DoRA`);
        expectShape(`${module}.lora_magnitude_vector`, magnitude, [rows], fail);
      } else if (parts.has('lora_magnitude_vector')) {
        throw fail(`"${module}" has lora_magnitude_vector, and use_dora is false`);
      }
      return mergedRows(original, lowRankDelta(pair.left, pair.right, scale), magnitude);
    }
  }
}

/** B [rows, rank] and A [rank, width]; an embedding's are the other way round, and transposed. */
function lowRankPair(
  parts: Parts,
  { rank, rows, width, module, fail }: { rank: number; rows: number; width: number } & Context,
): { left: Matrix; right: Matrix; isEmbedding: boolean } {
  const isEmbedding = parts.has('lora_embedding_A');
  const [leftName, rightName] = isEmbedding
    ? ['lora_embedding_A', 'lora_embedding_B']
    : ['lora_B', 'lora_A'];
  const matrix = (name: string, shape: readonly [number, number]): Matrix => {
    const tensor = parts.get(name);
    if (tensor === undefined) throw fail(`"${module}" lacks ${name}`);
    const stored = isEmbedding ? shape.toReversed() : shape;
    // Those of a convolution have the kernel's size behind, [rank, in, height, width] and [out, rank, 1, 1].
    const [first = 0, ...rest] = tensor.shape;
    const flat = [first, rest.reduce((product, dim) => product * dim, 1)];
    if (`${flat}` !== `${stored}`) {
      const isOfRank = flat[stored.indexOf(rank)] === rank;
      const why = isOfRank
        ? 'it was made for a base of other sizes'
        : `its rank is not the ${rank} of ${ADAPTER_CONFIG}`;
      throw fail(
        `"${module}" has ${name} [${tensor.shape}], rank and weight ask for [${stored}]: ${why}`,
      );
    }
    return { shape, read: () => readAll(tensor), isTransposed: isEmbedding };
  };
  return {
    left: matrix(leftName!, [rows, rank]),
    right: matrix(rightName!, [rank, width]),
    isEmbedding,
  };
}

/** The module's bias, where the adapter changes it. */
function mergedBias(
  original: StoredTensor | undefined,
  parts: Parts,
  config: AdapterConfig,
  { module, fail }: Context,
): StoredTensor | null {
  if (config.peft_type === 'IA3') {
    const vector = parts.get('ia3_l');
    const rows = original?.shape[0];
    if (original === undefined || vector === undefined || vector.shape[1] !== 1) return null;
    if (vector.shape[0] !== rows) throw fail(`"${module}" has a bias of ${rows}`);
    return scaledRows(original, vector, 'rows');
  }
  const shift = parts.get('lora_B.bias');
  if (shift === undefined) return null;
  if (config.peft_type !== 'LORA' || !config.lora_bias) {
    throw fail(`"${module}" has lora_B.bias, and lora_bias is false`);
  }
  if (original === undefined) throw fail(`"${module}" has no bias in the base`);
  expectShape(`${module}.lora_B.bias`, shift, original.shape, fail);
  const { scale } = scaleOf(config, module);
  const [rows = 0] = shift.shape;
  const left: Matrix = { shape: [rows, 1], read: () => readAll(shift) };
  const right: Matrix = { shape: [1, 1], read: async () => Float32Array.of(1) };
  return mergedRows(original, lowRankDelta(left, right, scale), null);
}

function expectShape(
  name: string,
  tensor: StoredTensor,
  shape: readonly number[],
  fail: (why: string) => Error,
): void {
  if (`${tensor.shape}` === `${shape}`) return;
  throw fail(`"${name}" has ${shapeOf(tensor)}, the base asks for [${shape}]`);
}

function shapeOf({ shape }: StoredTensor): string {
  return `the shape [${shape}]`;
}
