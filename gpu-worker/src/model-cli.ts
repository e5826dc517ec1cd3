/** `npm run model`: builds bundles, and says what a checkpoint or a bundle is. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import {
  type BuildProgress,
  CheckpointError,
  ensureBundle,
  readManifest,
} from './builder/index.ts';

const HELP = `Usage: npm run model -- <command> <folder>

  build <checkpoint>           makes the bundle of a checkpoint in Hugging Face's format, prints its path
  info <checkpoint or bundle>  prints what it is (a checkpoint is built first)

Environment:
  BLIP2_BUNDLES   where bundles are kept (.bundles)
`;

const BAR_WIDTH = 30;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  const [command, folder, ...rest] = positionals;
  if (values.help || command === undefined) {
    console.log(HELP);
    return;
  }
  if (command !== 'build' && command !== 'info') {
    throw new CheckpointError(`Unknown command "${command}".\n\n${HELP}`);
  }
  if (folder === undefined || rest.length > 0) {
    throw new CheckpointError(`"${command}" takes one folder.\n\n${HELP}`);
  }
  if (command === 'build') {
    console.log(await build(folder));
  } else {
    await info(folder);
  }
}

async function build(checkpoint: string): Promise<string> {
  const bundle = await ensureBundle(checkpoint, { onProgress: drawProgress });
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  return bundle;
}

async function info(folder: string): Promise<void> {
  const isBundle = await access(join(folder, 'manifest.json')).then(
    () => true,
    () => false,
  );
  const bundle = isBundle ? folder : await build(folder);
  const manifest = await readManifest(bundle);
  const { image, files } = manifest;
  const megabytes = files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
  const rows: Record<string, string> = {
    bundle,
    name: manifest.name,
    kind: `${manifest.kind}, ${manifest.family}, ${manifest.precision}`,
    revision: manifest.revision,
    size: `${megabytes.toFixed(1)} MB in ${files.length} files`,
    image: `${image.size} px, patches of ${image.patch}, ${manifest.image_tokens} tokens of ${manifest.vision_hidden}`,
    preprocessing: `${manifest.preprocessing} (${image.resample})`,
    queries: `${manifest.num_query_tokens} of ${manifest.qformer_hidden}`,
    ...textRows(manifest),
    licence: manifest.licence ?? 'not stated',
  };
  for (const [name, text] of Object.entries(rows)) {
    console.log(`${styleText('bold', name.padEnd(14))} ${text}`);
  }
}

/** What the bundle does with text. */
function textRows(manifest: BundleManifest): Record<string, string> {
  if (manifest.kind === 'retrieve') {
    const { text, itc_hidden } = manifest;
    return {
      text: `${text.vocab} tokens, ${text.max_positions} positions`,
      itc: `embeddings of ${itc_hidden}`,
    };
  }
  const { decoder, eos_token_ids, generation } = manifest;
  return {
    decoder: `${decoder.layers} layers of ${decoder.hidden}, ${decoder.heads} heads of ${decoder.head_dim}, ${decoder.vocab} tokens, ${decoder.max_positions} positions`,
    stops: `at token ${eos_token_ids.join(' or ')}, after ${generation.max_new_tokens} by default`,
  };
}

let shownPercent = -1;

/** A bar on a terminal; nothing elsewhere. */
function drawProgress({ done, total, label }: BuildProgress): void {
  const percent = Math.floor((100 * done) / total);
  if (!process.stderr.isTTY || percent === shownPercent) return;
  shownPercent = percent;
  const filled = Math.round((BAR_WIDTH * done) / total);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
  process.stderr.write(`\r\x1b[2K${bar} ${String(percent).padStart(3)} % ${label}`);
}

try {
  await main();
} catch (error) {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  console.error(styleText('red', error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}
