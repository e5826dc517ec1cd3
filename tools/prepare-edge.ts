/** Writes what the edge must know of its model into `edge/generated`, from the bundle of the checkpoint. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ensureBundle,
  readGenerativeManifest,
  readRetrievalManifest,
  readTokenizer,
} from '@blip2/gpu-worker/builder/index';
import { chooseCheckpoints } from '@blip2/gpu-worker/config';
import { resolveCheckpoint } from '@blip2/gpu-worker/hub/index';
import { type EdgeModel, edgeModelFrom } from '@blip2/shared/edge-model';
import { statusLine } from './status-line.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

export type Checkpoints = { checkpoint: string; retrievalCheckpoint?: string };

/**
 * Pulls the checkpoints and builds the bundles where needed, writes
 * `generated/{model.json,tokenizer.json.txt,retrieval-tokenizer.json.txt}`.
 * @param checkpoint folder in Hugging Face's format or model on a hub; BLIP2_CHECKPOINT or the embedded one by default
 * @returns the folders of the checkpoints, wherever they came from
 */
export async function prepareEdge(
  checkpoint = process.env.BLIP2_CHECKPOINT,
  onStatus: (line: string) => void = () => {},
  edge = join(ROOT, 'edge'),
): Promise<Checkpoints & { bundle: string; model: EdgeModel }> {
  const chosen = chooseCheckpoints(checkpoint, process.env.BLIP2_RETRIEVAL_CHECKPOINT);
  const prepare = async (name: string) => {
    const folder = await resolveCheckpoint(name, {
      onProgress: ({ done, total, label }) =>
        onStatus(`Downloading ${name}: ${Math.floor((100 * done) / total)} % ${label}`),
    });
    const bundle = await ensureBundle(folder, {
      onProgress: ({ done, total, label }) =>
        onStatus(`Building the bundle: ${Math.floor((100 * done) / total)} % ${label}`),
    });
    return { folder, bundle };
  };
  const { folder, bundle } = await prepare(chosen.checkpoint);
  const { retrievalCheckpoint } = chosen;
  const retrieval = retrievalCheckpoint === undefined ? null : await prepare(retrievalCheckpoint);
  const manifest = await readGenerativeManifest(bundle);
  const compares = retrieval === null ? null : await readRetrievalManifest(retrieval.bundle);
  const model = edgeModelFrom(manifest, compares ?? undefined);
  const generated = join(edge, 'generated');
  await mkdir(generated, { recursive: true });
  const files = {
    'model.json': `${JSON.stringify(model, null, 2)}\n`,
    'tokenizer.json.txt': await readTokenizer(bundle, manifest),
    'retrieval-tokenizer.json.txt':
      retrieval === null || compares === null
        ? ''
        : await readTokenizer(retrieval.bundle, compares),
  };
  for (const [name, text] of Object.entries(files))
    await writeIfChanged(join(generated, name), text);
  return {
    checkpoint: folder,
    ...(retrieval === null ? {} : { retrievalCheckpoint: retrieval.folder }),
    bundle,
    model,
  };
}

async function writeIfChanged(path: string, text: string): Promise<void> {
  const present = await readFile(path, 'utf8').catch(() => null);
  if (present !== text) await writeFile(path, text);
}

if (import.meta.main) {
  const line = statusLine();
  await prepareEdge(undefined, line.update);
  line.clear();
}
