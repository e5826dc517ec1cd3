/** Makes sure that the bundle of a checkpoint exists: builds it in a temporary folder and renames that. */

import { createHash } from 'node:crypto';
import { chmod, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { Precision } from '@blip2/shared/precision';
import { explainFileError, isAbsent, naming } from '../file-errors.ts';
import { makeFolder } from '../make-folder.ts';
import { elementCount } from '../onnx/weight.ts';
import { lock } from '../process-lock.ts';
import { QFORMER_TOKENIZER, QFORMER_TOKENIZER_FILES } from '../qformer-tokenizer-files.ts';
import { readRegular, readText } from '../regular-file.ts';
import type { BaseOptions } from './checkpoint/base-folder.ts';
import { finiteTensors } from './checkpoint/finite-tensors.ts';
import { checkWeights, openCheckpoint } from './checkpoint/open-checkpoint.ts';
import type { OpenCheckpoint } from './checkpoint/open-checkpoint-types.ts';
import { readOutsideTraining } from './checkpoint/outside-training.ts';
import {
  checkQFormerTokenizer,
  composeQFormerTokenizer,
  qformerTokenizerFiles,
} from './checkpoint/qformer-tokenizer.ts';
import { checkTokenizerFile, composeTokenizer } from './checkpoint/tokenizer-file.ts';
import { expectKnownConfig } from './config/check-keys.ts';
import { expectKnownFiles } from './config/known-files.ts';
import { readKind } from './config/model-config.ts';
import { isIntact, isSmall } from './damage.ts';
import { ADVICE, expectSpace, explainFullDisk, makeDraft, removeAbandoned } from './draft.ts';
import { CheckpointError } from './errors.ts';
import { digestOfManifest, MANIFEST, readManifest } from './manifest.ts';
import { planGenerative } from './plans/generative-plan.ts';
import type { BundlePlan } from './plans/plan.ts';
import { planRetrieval } from './plans/retrieval-plan.ts';
import { choosePrecision } from './precision.ts';
import { checkpointRevision, type RevisionCache, sha256OfFile } from './revision.ts';

/** `done` of `total` bytes of the checkpoint; `label` says what is being written. */
export type BuildProgress = { done: number; total: number; label: string };

export type EnsureOptions = BaseOptions & {
  /** Folder of all bundles. */
  bundles: string;
  /** Bits of the large weights; `auto` chooses by their size. */
  precision?: Precision | 'auto';
  /** Keys of the checkpoint's files that change nothing though the builder does not know them. @example ['text_config.note'] */
  ignoredKeys?: readonly string[];
  onProgress?: (progress: BuildProgress) => void;
};

type BuildOptions = Required<Pick<EnsureOptions, 'onProgress' | 'ignoredKeys'>>;
type Identity = { name: string; revision: string; precision: Precision };

const MODEL_CARD = 'README.md';
/** Copied into the bundle where the checkpoint has them. */
const SIDECARS = [
  'config.json',
  'generation_config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'spiece.model',
  ...QFORMER_TOKENIZER_FILES,
  MODEL_CARD,
  'LICENSE',
];
const CONFIG = 'config.json';
const READ_ONLY = 0o444;
/** Of a file that is copied: as much as a tokenizer may have. */
const MAX_SIDECAR_BYTES = 64 << 20;
/** Of a value in the graphs, on average at least: embeddings and norms have more bits than the rest. */
const LEAST_BYTES: Record<Precision, number> = { fp32: 4, int8: 1, int4: 0.5 };
/** Composed of the checkpoint's files rather than copied. */
const COMPOSED: Readonly<Record<string, (checkpoint: string) => Promise<string>>> = {
  'tokenizer.json': composeTokenizer,
  [`${QFORMER_TOKENIZER}/tokenizer.json`]: composeQFormerTokenizer,
};

/**
 * Folder of the bundle of `checkpointDir`, built first where there is none that fits.
 * @throws CheckpointError naming what the builder does not know or does not find in the checkpoint, or the file or folder
 * that cannot be used, and what to do
 * @example await ensureBundle('checkpoints/mine', { bundles: '.bundles', precision: 'int8' })
 */
export async function ensureBundle(checkpointDir: string, options: EnsureOptions): Promise<string> {
  try {
    return await ensure(checkpointDir, options);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw await asCheckpointError(error, options.bundles, (message) => message);
  }
}

/** Errors of the file system, and of the checkpoint, as they are said to people; others stay what they are. */
async function asCheckpointError(
  error: unknown,
  bundles: string,
  explain: (message: string) => string,
): Promise<unknown> {
  const message =
    error instanceof CheckpointError
      ? error.message
      : await explainFileError(error, [{ folder: bundles, advice: ADVICE }]);
  return message === null ? error : new CheckpointError(explain(message), { cause: error });
}

async function ensure(
  checkpointDir: string,
  {
    bundles,
    precision: wanted = 'auto',
    ignoredKeys = [],
    onProgress = () => {},
    resolveBase,
  }: EnsureOptions,
): Promise<string> {
  await using source = await openCheckpoint(resolve(checkpointDir), {
    ignored: ignoredKeys,
    ...(resolveBase === undefined ? {} : { resolveBase }),
  });
  await makeFolder(bundles, ADVICE);
  const checkpoint = source.folder;
  const precision = choosePrecision(wanted, source.bytes);
  const name = `${source.name}${source.suffix}`;
  const identify = async (cache: RevisionCache) => {
    const revision = await checkpointRevision(source.inputs, join(bundles, '.revisions'), cache);
    const suffix = precision === 'fp32' ? '' : `-${precision}`;
    const folder = join(bundles, `${name}-${revision.slice(0, 12)}${suffix}`);
    return { identity: { name, revision, precision }, bundle: folder };
  };
  const known = await identify('read');
  if (await isServable(known.bundle, checkpoint, known.identity)) return known.bundle;

  // Not even a lock can be made on a disk that a killed build has filled.
  await removeAbandoned(bundles);
  // One builds, the others wait for it: builds that run at the same time would all be right, and slow.
  const path = join(bundles, '.locks', basename(known.bundle));
  await using _lock = await lock(path, {
    wait: waitBeside,
    signal: new AbortController().signal,
    advice: ADVICE,
  });
  if (await isServable(known.bundle, checkpoint, known.identity)) return known.bundle;
  await removeAbandoned(bundles);
  // The weights are read now: a file that has decayed since its revision was remembered has another one.
  const { bundle, identity } = await identify('renew');
  const draft = await makeDraft(bundle);
  try {
    await build(source, draft, identity, { onProgress, ignoredKeys });
    if (!(await isUsable(bundle, checkpoint, identity))) await moveDraft(draft, bundle);
  } catch (error) {
    throw await asCheckpointError(error, bundles, source.explain);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return bundle;
}

async function waitBeside(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal });
}

async function build(
  source: OpenCheckpoint,
  draft: string,
  { name, revision, precision }: Identity,
  options: BuildOptions,
): Promise<void> {
  const { ignoredKeys } = options;
  const { folder: checkpoint } = source;
  const tensors = finiteTensors(source.tensors);
  const kind = await readKind(checkpoint);
  await expectKnownConfig(checkpoint, kind, ignoredKeys);
  await expectKnownFiles(checkpoint, kind, ignoredKeys);
  const plan = kind === 'retrieve' ? planRetrieval : planGenerative;
  const { graphs, manifest } = await plan(checkpoint, precision, tensors);
  await checkWeights(source);
  const needed = bytesNeeded(source, sourceBytesOf(graphs), precision);
  await expectSpace(draft, needed);
  try {
    await write({ graphs, manifest }, source, draft, { name, revision, precision }, options);
  } catch (error) {
    throw await explainFullDisk(draft, needed, error);
  }
}

/** All files of a bundle, the manifest last. */
async function write(
  { graphs, manifest }: BundlePlan,
  source: OpenCheckpoint,
  draft: string,
  { name, revision }: Identity,
  { onProgress, ignoredKeys }: BuildOptions,
): Promise<void> {
  const instruction = manifest.kind === 'generate' ? manifest.instruction : undefined;
  const paths = await copySidecars(source.folder, draft, instruction !== undefined);
  await checkTokenizerFile(draft, { ...manifest, name }, ignoredKeys);
  if (instruction !== undefined) {
    await checkQFormerTokenizer(draft, { name, instruction }, ignoredKeys);
  }
  const total = sourceBytesOf(graphs);
  let done = 0;
  for (const graph of graphs) {
    const label = `${graph.name} graph`;
    onProgress({ done, total, label });
    const report = (bytes: number) => {
      done += bytes;
      onProgress({ done, total, label });
    };
    paths.push(...(await graph.save(draft, report)));
  }
  const files: BundleManifest['files'] = [];
  for (const path of paths) {
    const { size } = await stat(join(draft, path));
    files.push({ path, bytes: size, sha256: await sha256OfFile(join(draft, path)) });
  }
  const members = {
    format: 7 as const,
    ...manifest,
    name,
    revision,
    ...(await modelCard(source)),
    ...(manifest.kind === 'generate'
      ? await readOutsideTraining(source, manifest.qformer_hidden)
      : {}),
    files,
  };
  const full: BundleManifest = { ...members, digest: digestOfManifest(jsonOf(members)) };
  const path = join(draft, MANIFEST);
  const text = `${JSON.stringify(full, null, 2)}\n`;
  await naming(path, () => writeFile(path, text, { flag: 'wx', flush: true }));
  await protect(draft, [MANIFEST, ...paths]);
}

/** What is served is mapped into memory: nobody writes into these files by mistake. They are replaced as a whole. */
async function protect(bundle: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) await chmod(join(bundle, path), READ_ONLY);
}

function sourceBytesOf(graphs: BundlePlan['graphs']): number {
  return graphs.reduce((sum, graph) => sum + graph.sourceBytes, 0);
}

/** About how large the graphs of a bundle are: their values, which the checkpoint may have in 16 bits. */
function bytesNeeded(
  { tensors }: OpenCheckpoint,
  sourceBytes: number,
  precision: Precision,
): number {
  let [values, bytes] = [0, 0];
  for (const tensor of tensors.values()) {
    values += elementCount(tensor.shape);
    bytes += tensor.bytes;
  }
  return Math.ceil(sourceBytes * (values / bytes) * LEAST_BYTES[precision]);
}

/** As it will be read: without members that are undefined. */
function jsonOf(value: object): object {
  return JSON.parse(JSON.stringify(value));
}

/** @param readsInstruction whether there is a tokenizer for the Q-Former too */
async function copySidecars(
  checkpoint: string,
  draft: string,
  readsInstruction: boolean,
): Promise<string[]> {
  const present = await filesOf(checkpoint);
  if (!present.includes(CONFIG)) throw new CheckpointError(`${checkpoint} lacks ${CONFIG}.`);
  const files = SIDECARS.filter((file) => {
    const isOfQFormer = file.startsWith(QFORMER_TOKENIZER);
    return present.includes(file) || (file in COMPOSED && (readsInstruction || !isOfQFormer));
  });
  for (const file of files) {
    const target = join(draft, file);
    await makeFolder(dirname(target));
    const compose = COMPOSED[file];
    const content =
      compose === undefined
        ? await readRegular(join(checkpoint, file), MAX_SIDECAR_BYTES)
        : await compose(checkpoint);
    await naming(target, () => writeFile(target, content));
  }
  return files;
}

async function filesOf(checkpoint: string): Promise<string[]> {
  return [...(await readdir(checkpoint)), ...(await qformerTokenizerFiles(checkpoint))];
}

/** Path of the model card, and the license and the model's name that its front matter gives. */
async function modelCard({ folder, suffix }: OpenCheckpoint) {
  const text = await readText(join(folder, MODEL_CARD), MAX_SIDECAR_BYTES).catch((error) => {
    if (isAbsent(error)) return null;
    throw error;
  });
  if (text === null) return {};
  const frontMatter = /^---\n([\s\S]*?)\n---/.exec(text)?.[1] ?? '';
  const field = (name: string) =>
    new RegExp(`^${name}:\\s*(\\S{1,200})`, 'm').exec(frontMatter)?.[1];
  const [license, name] = [field('license'), field('model_name')];
  return {
    model_card: MODEL_CARD,
    ...(license === undefined ? {} : { license }),
    ...(name === undefined ? {} : { name: `${name}${suffix}` }),
  };
}

/** As `isUsable`; what earlier versions left writable is so no longer, if it is ours. */
async function isServable(
  bundle: string,
  checkpoint: string,
  identity: Identity,
): Promise<boolean> {
  if (!(await isUsable(bundle, checkpoint, identity))) return false;
  await readManifest(bundle)
    .then(({ files }) => protect(bundle, [MANIFEST, ...files.map(({ path }) => path)]))
    .catch(() => {});
  return true;
}

/** Whether the bundle is complete, of this format and revision, and holds the checkpoint's own tokenizer. */
async function isUsable(
  bundle: string,
  checkpoint: string,
  { revision, precision }: Identity,
): Promise<boolean> {
  const manifest = await readManifest(bundle).catch(() => null);
  if (manifest?.revision !== revision || manifest.precision !== precision) return false;
  for (const file of manifest.files) {
    const { path, bytes, sha256 } = file;
    const found = await stat(join(bundle, path)).catch(() => null);
    if (found === null || found.size !== bytes) return false;
    if (!SIDECARS.includes(path)) {
      if (isSmall(file) && !(await isIntact(bundle, file))) return false;
      continue;
    }
    if ((await sha256OfSidecar(checkpoint, path).catch(() => null)) !== sha256) return false;
    if (!(await isIntact(bundle, file))) return false;
  }
  const present = await filesOf(checkpoint);
  const listed = new Set(manifest.files.map(({ path }) => path));
  return SIDECARS.every((file) => !present.includes(file) || listed.has(file));
}

async function sha256OfSidecar(checkpoint: string, file: string): Promise<string> {
  const compose = COMPOSED[file];
  if (compose === undefined) return await sha256OfFile(join(checkpoint, file));
  return createHash('sha256')
    .update(await compose(checkpoint))
    .digest('hex');
}

/** Renames the draft to its place; an unusable bundle there is removed. */
async function moveDraft(draft: string, bundle: string): Promise<void> {
  const old = `${draft}.old`;
  await rename(bundle, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(draft, bundle).catch((error: NodeJS.ErrnoException) => {
    // Another process has just renamed its own there, which is as good.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  await rm(old, { recursive: true, force: true });
}
