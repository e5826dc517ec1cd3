/** Writes what the edge must know of its model into `edge/generated`, from the bundle of the checkpoint. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle, readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import { resolveCheckpoint } from '@blip2/gpu-worker/hub/index';
import { type EdgeModel, edgeModelFrom } from '@blip2/shared/edge-model';
import { statusLine } from './status-line.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const EMBEDDED_CHECKPOINT = join(ROOT, 'gpu-worker/checkpoints/generate');

/**
 * Pulls the checkpoint and builds the bundle where needed, writes `edge/generated/{model.json,tokenizer.json.txt}`.
 * @param checkpoint folder in Hugging Face's format or model on a hub; BLIP2_CHECKPOINT or the embedded one by default
 */
export async function prepareEdge(
  checkpoint = process.env.BLIP2_CHECKPOINT ?? EMBEDDED_CHECKPOINT,
  onStatus: (line: string) => void = () => {},
): Promise<{ checkpoint: string; bundle: string; model: EdgeModel }> {
  const folder = await resolveCheckpoint(checkpoint, {
    onProgress: ({ done, total, label }) =>
      onStatus(`Downloading ${checkpoint}: ${Math.floor((100 * done) / total)} % ${label}`),
  });
  const bundle = await ensureBundle(folder, {
    onProgress: ({ done, total, label }) =>
      onStatus(`Building the bundle: ${Math.floor((100 * done) / total)} % ${label}`),
  });
  const model = edgeModelFrom(await readGenerateManifest(bundle));
  const generated = join(ROOT, 'edge/generated');
  await mkdir(generated, { recursive: true });
  await writeIfChanged(join(generated, 'model.json'), `${JSON.stringify(model, null, 2)}\n`);
  await writeIfChanged(
    join(generated, 'tokenizer.json.txt'),
    await readFile(join(bundle, 'tokenizer.json'), 'utf8'),
  );
  return { checkpoint: folder, bundle, model };
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
