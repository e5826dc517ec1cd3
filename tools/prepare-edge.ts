/** Writes the model's sizes and tokenizers into `edge/generated`, from the bundles of the checkpoints; and the page's script. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  readGenerativeManifest,
  readQFormerTokenizer,
  readRetrievalManifest,
  readTokenizer,
} from '@blip2/gpu-worker/builder/index';
import { chooseCheckpoints, type ModelSettings } from '@blip2/gpu-worker/model-options';
import { type BundleProgress, resolveBundle } from '@blip2/gpu-worker/resolve-bundle';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { configure } from '@blip2/shared/config/configure';
import { type EdgeModel, edgeModelFrom } from '@blip2/shared/edge-model';
import { buildPage } from './build-page.ts';
import { readModelCard } from './model-card.ts';
import { PREPARE_EDGE } from './programs/maintenance.ts';
import { statusLine } from './status-line.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** What the examples of the API's description send. */
const EXAMPLE_IMAGE = join(ROOT, 'test/scenes/pair-noto-00.webp');

export type Checkpoints = { checkpoint: string; retrievalCheckpoint?: string };

/**
 * Pulls the checkpoints and builds the bundles where needed, writes
 * `generated/{model.json,tokenizer.json.txt,instruction-tokenizer.json.txt,retrieval-tokenizer.json.txt,page.js.txt,reference.js.txt,example.webp.txt}`.
 * @param edge folder of the edge
 * @returns the folders of the checkpoints, wherever they came from, and what the model card says the model knows
 */
export async function prepareEdge(
  settings: ModelSettings,
  onStatus: (line: string) => void = () => {},
  edge = join(ROOT, 'edge'),
): Promise<Checkpoints & { bundle: string; model: EdgeModel; summary: string | undefined }> {
  const chosen = chooseCheckpoints(settings);
  const prepare = (name: string, kind: BundleManifest['kind']) =>
    resolveBundle(name, settings, (progress) => onStatus(describe(name, kind, progress)));
  const { checkpoint: folder, bundle } = await prepare(chosen.checkpoint, 'generate');
  const { retrievalCheckpoint } = chosen;
  const retrieval =
    retrievalCheckpoint === undefined ? null : await prepare(retrievalCheckpoint, 'retrieve');
  const manifest = await readGenerativeManifest(bundle);
  const retrieve = retrieval === null ? null : await readRetrievalManifest(retrieval.bundle);
  const card = await readModelCard(folder);
  const undated = edgeModelFrom(manifest, retrieve ?? undefined, card);
  const model: EdgeModel = {
    ...undated,
    created: await builtAt(bundle),
    ...(retrieval !== null &&
      undated.retrieval !== undefined && {
        retrieval: { ...undated.retrieval, created: await builtAt(retrieval.bundle) },
      }),
  };
  const generated = join(edge, 'generated');
  await mkdir(generated, { recursive: true });
  const files = {
    'model.json': `${JSON.stringify(model, null, 2)}\n`,
    'tokenizer.json.txt': await readTokenizer(bundle, manifest),
    'instruction-tokenizer.json.txt':
      manifest.instruction === undefined
        ? ''
        : await readQFormerTokenizer(bundle, { ...manifest, instruction: manifest.instruction }),
    'retrieval-tokenizer.json.txt':
      retrieval === null || retrieve === null
        ? ''
        : await readTokenizer(retrieval.bundle, retrieve),
    'page.js.txt': await buildPage(join(edge, 'src/page/main.ts')),
    'reference.js.txt': await buildPage(join(edge, 'src/page/reference.ts')),
    'example.webp.txt': await readFile(EXAMPLE_IMAGE, 'base64'),
  };
  for (const [name, text] of Object.entries(files))
    await writeIfChanged(join(generated, name), text);
  return {
    checkpoint: folder,
    ...(retrieval === null ? {} : { retrievalCheckpoint: retrieval.checkpoint }),
    bundle,
    model,
    summary: card.summary ?? card.description,
  };
}

/** When a bundle was built, in seconds since 1970: its manifest is written once, at the end. */
async function builtAt(bundle: string): Promise<number> {
  const { mtimeMs } = await stat(join(bundle, 'manifest.json'));
  return Math.max(1, Math.floor(mtimeMs / 1000));
}

function describe(
  name: string,
  kind: BundleManifest['kind'],
  { step, done, total, label }: BundleProgress,
): string {
  const what = step === 'download' ? `Downloading ${name}` : `Building the bundle (${kind})`;
  return `${what}: ${Math.floor((100 * done) / total)} % ${label}`;
}

async function writeIfChanged(path: string, text: string): Promise<void> {
  const present = await readFile(path, 'utf8').catch(() => null);
  if (present !== text) await writeFile(path, text);
}

if (import.meta.main) {
  const { values } = configure(PREPARE_EDGE);
  const line = statusLine();
  await prepareEdge(values, line.update);
  line.clear();
}
