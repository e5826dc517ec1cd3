/** Makes sure that the bundle of a checkpoint exists: builds it beside its place and renames it into it. */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  BundleManifest,
  type GenerateManifest,
  type Precision,
  type RetrieveManifest,
} from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import type { BaseOptions } from './checkpoint/base-folder.ts';
import { checkWeights, openCheckpoint } from './checkpoint/open-checkpoint.ts';
import type { OpenCheckpoint } from './checkpoint/opened.ts';
import { expectKnownConfig } from './config/check-keys.ts';
import { expectKnownFiles } from './config/known-files.ts';
import { readKind } from './config/model-config.ts';
import { CheckpointError } from './errors.ts';
import { planGenerate } from './plans/generative-plan.ts';
import { planRetrieve } from './plans/retrieval-plan.ts';
import { choosePrecision } from './precision.ts';
import { checkpointRevision, sha256OfFile } from './revision.ts';
import { defaultBundles, defaultIgnoredConfig, defaultPrecision } from './settings.ts';

/** `done` of `total` bytes of the checkpoint; `label` says what is being written. */
export type BuildProgress = { done: number; total: number; label: string };

export type EnsureOptions = BaseOptions & {
  onProgress?: (progress: BuildProgress) => void;
  /** BLIP2_PRECISION, or `auto`. */
  precision?: Precision | 'auto';
  /** Keys of config.json that may say what they will; BLIP2_IGNORE_CONFIG, or none. */
  ignoredConfig?: readonly string[];
  /** Where bundles are kept; BLIP2_BUNDLES, or `.bundles` at the top of the repository. */
  bundles?: string;
};

type Identity = { name: string; revision: string; precision: Precision };

const MANIFEST = 'manifest.json';
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
  MODEL_CARD,
  'LICENSE',
];
const REQUIRED_SIDECARS = ['config.json', 'tokenizer.json'];

/**
 * Folder of the bundle of `checkpointDir`, built first where there is none that fits.
 * @throws CheckpointError when the folder is no checkpoint the builder knows
 */
export async function ensureBundle(
  checkpointDir: string,
  {
    onProgress = () => {},
    bundles = defaultBundles(),
    precision: wanted = defaultPrecision(),
    ignoredConfig = defaultIgnoredConfig(),
    resolveBase,
  }: EnsureOptions = {},
): Promise<string> {
  await using source = await openCheckpoint(resolve(checkpointDir), {
    ignored: ignoredConfig,
    ...(resolveBase === undefined ? {} : { resolveBase }),
  });
  const checkpoint = source.folder;
  const precision = choosePrecision(wanted, source.bytes);
  const revision = await checkpointRevision(source.inputs, join(bundles, '.revisions'));
  const name = `${source.name}${source.suffix}`;
  const suffix = precision === 'fp32' ? '' : `-${precision}`;
  const place = join(bundles, `${name}-${revision.slice(0, 12)}${suffix}`);
  const identity = { name, revision, precision };
  if (await isUsable(place, checkpoint, identity)) return place;

  await removeAbandoned(place);
  const draft = `${place}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  await mkdir(draft, { recursive: true });
  try {
    await build(source, draft, identity, { onProgress, ignoredConfig });
    if (!(await isUsable(place, checkpoint, identity))) await putInPlace(draft, place);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return place;
}

/** @throws Error when the folder holds no manifest of this format */
export async function readManifest(bundle: string): Promise<BundleManifest> {
  const path = join(bundle, MANIFEST);
  const result = BundleManifest.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!result.success) throw new Error(`${path}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** @throws Error when the bundle is none that writes text */
export async function readGenerateManifest(bundle: string): Promise<GenerateManifest> {
  const manifest = await readManifest(bundle);
  if (manifest.kind === 'generate') return manifest;
  throw new Error(
    `${manifest.name} compares images with texts and writes none. Give it in BLIP2_RETRIEVAL_CHECKPOINT.`,
  );
}

/** @throws Error when the bundle is none that compares */
export async function readRetrieveManifest(bundle: string): Promise<RetrieveManifest> {
  const manifest = await readManifest(bundle);
  if (manifest.kind === 'retrieve') return manifest;
  throw new Error(
    `${manifest.name} writes text and compares nothing. Give it in BLIP2_CHECKPOINT.`,
  );
}

async function build(
  source: OpenCheckpoint,
  draft: string,
  { name, revision, precision }: Identity,
  {
    onProgress,
    ignoredConfig,
  }: { onProgress: (progress: BuildProgress) => void; ignoredConfig: readonly string[] },
): Promise<void> {
  const { folder: checkpoint, tensors } = source;
  const kind = await readKind(checkpoint);
  await expectKnownConfig(checkpoint, kind, ignoredConfig);
  await expectKnownFiles(checkpoint, kind, ignoredConfig);
  const plan = kind === 'retrieve' ? planRetrieve : planGenerate;
  const { graphs, manifest } = await plan(checkpoint, precision, tensors);
  await checkWeights(source);
  const paths = await copySidecars(checkpoint, draft);
  const total = graphs.reduce((sum, graph) => sum + graph.sourceBytes, 0);
  let done = 0;
  for (const graph of graphs) {
    const label = `${graph.name} graph`;
    onProgress({ done, total, label });
    const written = await graph.save(draft, (bytes) => {
      done += bytes;
      onProgress({ done, total, label });
    });
    paths.push(...written);
  }
  const files: BundleManifest['files'] = [];
  for (const path of paths) {
    const { size } = await stat(join(draft, path));
    files.push({ path, bytes: size, sha256: await sha256OfFile(join(draft, path)) });
  }
  const full: BundleManifest = {
    format: 5,
    ...manifest,
    name,
    revision,
    ...(await modelCard(source)),
    files,
  };
  await using file = await open(join(draft, MANIFEST), 'wx');
  await file.writeFile(`${JSON.stringify(full, null, 2)}\n`);
  await file.sync();
}

async function copySidecars(checkpoint: string, draft: string): Promise<string[]> {
  const present = await readdir(checkpoint);
  for (const file of REQUIRED_SIDECARS) {
    if (!present.includes(file)) throw new CheckpointError(`${checkpoint} lacks ${file}.`);
  }
  const files = SIDECARS.filter((file) => present.includes(file));
  for (const file of files) await copyFile(join(checkpoint, file), join(draft, file));
  return files;
}

/** Path of the model card, and the license and the model's name that its front matter gives. */
async function modelCard({ folder, suffix }: OpenCheckpoint) {
  const text = await readFile(join(folder, MODEL_CARD), 'utf8').catch(() => null);
  if (text === null) return {};
  const frontMatter = /^---\n([\s\S]*?)\n---/.exec(text)?.[1] ?? '';
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(frontMatter)?.[1];
  const [license, name] = [field('license'), field('model_name')];
  return {
    model_card: MODEL_CARD,
    ...(license === undefined ? {} : { license }),
    ...(name === undefined ? {} : { name: `${name}${suffix}` }),
  };
}

/** Whether the bundle is whole, of this format and revision, and holds the checkpoint's own tokenizer. */
async function isUsable(
  place: string,
  checkpoint: string,
  { revision, precision }: Identity,
): Promise<boolean> {
  const manifest = await readManifest(place).catch(() => null);
  if (manifest?.revision !== revision || manifest.precision !== precision) return false;
  for (const { path, bytes, sha256 } of manifest.files) {
    const found = await stat(join(place, path)).catch(() => null);
    if (found === null || found.size !== bytes) return false;
    if (!SIDECARS.includes(path)) continue;
    const source = join(checkpoint, path);
    if ((await sha256OfFile(source).catch(() => null)) !== sha256) return false;
  }
  const present = await readdir(checkpoint);
  const listed = new Set(manifest.files.map(({ path }) => path));
  return SIDECARS.every((file) => !present.includes(file) || listed.has(file));
}

/** Renames the draft to its place; what stands there and is of no use makes way. */
async function putInPlace(draft: string, place: string): Promise<void> {
  const old = `${draft}.old`;
  await rename(place, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(draft, place).catch((error: NodeJS.ErrnoException) => {
    // Another builder was faster by a moment: its bundle is as good.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  await rm(old, { recursive: true, force: true });
}

/** Drafts of this bundle that builders which are no longer alive have left. */
async function removeAbandoned(place: string): Promise<void> {
  const parent = resolve(place, '..');
  for (const entry of await readdir(parent).catch(() => [])) {
    const pid = new RegExp(`^${basename(place)}\\.(\\d+)\\.[0-9a-f]+\\.tmp`).exec(entry)?.[1];
    if (pid === undefined || (await isAlive(Number(pid)))) continue;
    await rm(join(parent, entry), { recursive: true, force: true });
  }
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
