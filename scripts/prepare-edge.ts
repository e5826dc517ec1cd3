/** Writes what the edge must know of its model into `edge/generated`, from the bundle of the checkpoint. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ensureBundle,
  readGenerateManifest,
  readRetrieveManifest,
} from '@blip2/gpu-worker/builder/index';
import { chooseCheckpoints } from '@blip2/gpu-worker/config';
import { type EdgeModel, edgeModelFrom } from '@blip2/shared/edge-model';
import { statusLine } from './status-line.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

export type Checkpoints = { checkpoint: string; retrievalCheckpoint?: string };

/**
 * Builds the bundles where needed and writes `edge/generated/{model.json,tokenizer.json.txt,retrieval-tokenizer.json.txt}`.
 * @param checkpoint folder in Hugging Face's format; BLIP2_CHECKPOINT or the embedded one by default
 */
export async function prepareEdge(
  checkpoint = process.env.BLIP2_CHECKPOINT,
  onStatus: (line: string) => void = () => {},
): Promise<Checkpoints & { bundle: string; model: EdgeModel }> {
  const chosen = chooseCheckpoints(checkpoint, process.env.BLIP2_RETRIEVAL_CHECKPOINT);
  const build = (folder: string) =>
    ensureBundle(resolve(folder), {
      onProgress: ({ done, total, label }) =>
        onStatus(`Building the bundle: ${Math.floor((100 * done) / total)} % ${label}`),
    });
  const bundle = await build(chosen.checkpoint);
  const { retrievalCheckpoint } = chosen;
  const retrieval = retrievalCheckpoint === undefined ? null : await build(retrievalCheckpoint);
  const model = edgeModelFrom(
    await readGenerateManifest(bundle),
    retrieval === null ? undefined : await readRetrieveManifest(retrieval),
  );
  const generated = join(ROOT, 'edge/generated');
  await mkdir(generated, { recursive: true });
  const tokenizerOf = (folder: string) => readFile(join(folder, 'tokenizer.json'), 'utf8');
  const files = {
    'model.json': `${JSON.stringify(model, null, 2)}\n`,
    'tokenizer.json.txt': await tokenizerOf(bundle),
    'retrieval-tokenizer.json.txt': retrieval === null ? '' : await tokenizerOf(retrieval),
  };
  for (const [name, text] of Object.entries(files))
    await writeIfChanged(join(generated, name), text);
  return { ...chosen, checkpoint: resolve(chosen.checkpoint), bundle, model };
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
