/**
 * What a folder is: a checkpoint of transformers, one with an adapter beside it, an adapter alone, or one of LAVIS.
 * Whatever it is, the rest of the builder gets a folder with config and tokenizer, and tensors under transformers' names.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../file-errors.ts';
import { CheckpointError } from '../errors.ts';
import { ADAPTER_CONFIG } from './adapter-config.ts';
import { vocabularyOf } from './adapter-vocabulary.ts';
import { resolveBaseFolder } from './base-folder.ts';
import { checkpointName } from './checkpoint.ts';
import { explainNoWeights } from './explain-folder.ts';
import { readGivenPath } from './given-path.ts';
import { openLavis } from './lavis-checkpoint.ts';
import { isLavis } from './lavis-names.ts';
import { expectNoPointers } from './lfs-pointer.ts';
import { type Adapter, findAdapter, mergeAdapter } from './merge-adapter.ts';
import type { OpenCheckpoint, OpenOptions } from './open-checkpoint-types.ts';
import { OUTSIDE_TRAINING } from './outside-training.ts';
import { qformerTokenizerFiles } from './qformer-tokenizer.ts';
import { configWithVocabulary, expectSameModel, isHeadTied } from './same-config.ts';
import { stageFolder } from './staged-folder.ts';
import { adapterFolders, expectNoStrayAdapters } from './stray-adapters.ts';
import type { TensorSource } from './tensor-source.ts';
import { expectTied, tieEmbeddings } from './tied-tensors.ts';
import { holdsTokenizer } from './tokenizer/token-files.ts';
import {
  filesRead,
  findWeights,
  openWeights,
  totalBytes,
  type WeightFiles,
} from './weight-files.ts';

/** Adapters of adapters, and bases of bases, end somewhere. */
const MAX_DEPTH = 4;

/**
 * @param path a folder, or one file of weights in it
 * @throws CheckpointError saying what the folder holds instead, what is missing, and what to do
 */
export async function openCheckpoint(
  path: string,
  options: OpenOptions = {},
  depth = 0,
): Promise<OpenCheckpoint> {
  if (depth > MAX_DEPTH) throw new CheckpointError(`${path} is the base of itself.`);
  const { folder, only } = await readGivenPath(path);
  const present = await filesOf(folder);
  const read = [...filesRead(present, only), ...(await qformerTokenizerFiles(folder))];
  await expectNoPointers(folder, read);
  const weights = await weightsOf(folder, present, only);
  const adapter = await findAdapter(folder, present, options.ignored ?? []);
  const openBase = (base: string) => openCheckpoint(base, options, depth + 1);
  // Whoever names a folder as the base of an adapter means its weights.
  if (depth === 0 && (weights ?? adapter) !== null) {
    const used = [...(weights?.files ?? []), ...(adapter === null ? [] : [adapter.file])];
    await expectNoStrayAdapters(folder, present, { used, hasAdapter: adapter !== null });
  }
  if (weights === null) {
    if (adapter === null) {
      const adapters = await adapterFolders(folder, present);
      throw new CheckpointError(explainNoWeights(folder, present, adapters));
    }
    const base = await baseOf(adapter, holdsTokenizer(present), options);
    return await openAdapter(folder, adapter, await openBase(base));
  }
  const opened = await openWeights(folder, weights);
  const name = nameOf(folder, only);
  const own = isLavis(opened.tensors)
    ? await openLavis(
        { folder, name, present, paths: pathsOf(folder, weights), ...opened },
        options,
        openBase,
      )
    : await openOwn(folder, name, present, weights, opened.tensors);
  return adapter === null ? own : await orDispose(own, () => mergedInto(own, adapter, own.folder));
}

/** A folder's weights have a name of their own only where somebody gave them one. */
function nameOf(folder: string, only: string | null): string {
  const isUsual = only === null || /^(pytorch_)?model[.-]/.test(only);
  return isUsual ? checkpointName(folder) : only.replace(/\.[^.]+$/, '');
}

function pathsOf(folder: string, { files }: WeightFiles): string[] {
  return files.map((file) => join(folder, file));
}

async function orDispose<T>(opened: AsyncDisposable, then: () => Promise<T>): Promise<T> {
  try {
    return await then();
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

async function filesOf(folder: string): Promise<string[]> {
  return await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    const why = reasonOf(cause);
    throw new CheckpointError(`${folder} is not a folder that can be read: ${why}.`, { cause });
  });
}

async function weightsOf(
  folder: string,
  present: readonly string[],
  only: string | null,
): Promise<WeightFiles | null> {
  if (only === null) return await findWeights(folder, present);
  return { format: only.endsWith('.safetensors') ? 'safetensors' : 'torch', files: [only] };
}

/** A checkpoint as transformers saves it. */
async function openOwn(
  folder: string,
  name: string,
  present: readonly string[],
  weights: WeightFiles,
  source: TensorSource,
): Promise<OpenCheckpoint> {
  const { files } = weights;
  if (!present.includes('config.json')) {
    throw new CheckpointError(
      `${folder} has weights (${files[0]}) but no config.json: add the one of the model they are of.`,
    );
  }
  const tensors = tieEmbeddings(source);
  const deciding = [OUTSIDE_TRAINING].filter((file) => present.includes(file));
  const inputs = ['config.json', ...files, ...deciding].map((file) => ({
    label: file,
    path: join(folder, file),
  }));
  return {
    name,
    suffix: '',
    folder,
    explain: (message) => message,
    tensors,
    inputs,
    bytes: await totalBytes(pathsOf(folder, weights)),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function baseOf(
  { folder, config }: Adapter,
  hasTokenizer: boolean,
  options: OpenOptions,
): Promise<string> {
  const id = config.base_model_name_or_path ?? '';
  if (id === '') {
    throw new CheckpointError(
      `${folder} has an adapter and no weights, and base_model_name_or_path in ${ADAPTER_CONFIG} names no base: write its path or hub id there.`,
    );
  }
  return await resolveBaseFolder(
    { id, revision: config.revision, hasTokenizer },
    folder,
    options,
    `Put its path into base_model_name_or_path of ${ADAPTER_CONFIG}, or the adapter's files into its folder.`,
  );
}

/** An adapter whose base lies elsewhere: config and weights of the base, tokenizer of whoever has one. */
async function openAdapter(
  folder: string,
  adapter: Adapter,
  base: OpenCheckpoint,
): Promise<OpenCheckpoint> {
  return await orDispose(base, async () => {
    const staged = await stageFolder([
      { folder: base.folder },
      { folder, files: /^(?!config\.json$)/ },
    ]);
    const merged = await orDispose(staged, async () => {
      const model = await mergedInto(base, adapter, staged.folder);
      const ofBase = { folder: model.folder, name: base.folder };
      await orDispose(model, () => expectSameModel(folder, ofBase));
      return model;
    });
    return {
      ...merged,
      explain: (message) => base.explain(staged.explain(merged.explain(message))),
      name: checkpointName(folder),
      inputs: merged.inputs.map((input) =>
        base.inputs.includes(input) ? { ...input, label: `base/${input.label}` } : input,
      ),
      async [Symbol.asyncDispose]() {
        await staged[Symbol.asyncDispose]();
        await merged[Symbol.asyncDispose]();
      },
    };
  });
}

/** @param folder whose config and tokenizer count */
async function mergedInto(
  base: OpenCheckpoint,
  adapter: Adapter,
  folder: string,
): Promise<OpenCheckpoint> {
  const files = [ADAPTER_CONFIG, adapter.file];
  const tensors = await mergeAdapter(base.tensors, adapter, await isHeadTied(base.folder));
  const merged = {
    ...base,
    folder,
    suffix: `${base.suffix}+${adapter.config.peft_type.toLowerCase()}`,
    tensors,
    inputs: [
      ...base.inputs,
      ...files.map((file) => ({ label: file, path: join(adapter.folder, file) })),
    ],
  };
  const vocabulary = vocabularyOf(tensors);
  if (vocabulary === vocabularyOf(base.tensors)) return merged;
  const config = await configWithVocabulary(folder, vocabulary);
  const staged = await stageFolder([{ folder }], { 'config.json': config });
  return {
    ...merged,
    folder: staged.folder,
    explain: (message) => base.explain(staged.explain(message)),
    async [Symbol.asyncDispose]() {
      await staged[Symbol.asyncDispose]();
      await base[Symbol.asyncDispose]();
    },
  };
}

/** Checks what only the weights' values can show. @throws CheckpointError */
export async function checkWeights({ tensors }: OpenCheckpoint): Promise<void> {
  await expectTied(tensors);
}
