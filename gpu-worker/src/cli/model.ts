/** `npm run model`: pulls checkpoints, builds bundles, and says what a checkpoint or a bundle is. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { CheckpointError, ensureBundle, readManifest, readTokenizer } from '../builder/index.ts';
import { parseModelId, pull, readHubSettings, resolveCheckpoint } from '../hub/index.ts';
import { describeBundle } from './describe-bundle.ts';
import { progressBar } from './progress-bar.ts';

const HELP = `Usage: npm run model -- <command> <argument>

  pull <model>         downloads a checkpoint from a Hugging Face hub, prints its folder; goes on where it
                       was stopped, and fetches nothing twice
  build <checkpoint>   makes the bundle of a checkpoint, prints its path
  info <checkpoint>    prints what it is (built first); takes a bundle too

A model is owner/name, owner/name@revision, or the URL of its page. A checkpoint is a folder in Hugging
Face's format or a model, which is pulled first if it was not before.

  --revision NAME   branch, tag, refs/pr/N or commit of the model (main)
  --out FOLDER      where pull puts the files (.models/<owner>--<name>/<commit>)

Environment:
  BLIP2_PRECISION  fp32, int8, int4 or auto: bits of a bundle's large weights (auto: fp32 below 1 GB, else int8)
  BLIP2_IGNORE_CONFIG  keys of config.json that you know to change nothing though the builder does not know
                   them: text_config.note,origin
  BLIP2_BUNDLES    where bundles are kept (.bundles)
  BLIP2_MODELS     where pulled checkpoints are kept (.models)
  HF_TOKEN         token for models that are private or gated; sent to HF_ENDPOINT only
  HF_ENDPOINT      the hub (https://huggingface.co)
  HF_HUB_OFFLINE   1 uses what was pulled before and asks no hub
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h' },
      revision: { type: 'string' },
      out: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [command, name, ...rest] = positionals;
  if (values.help || command === undefined) {
    console.log(HELP);
    return;
  }
  if (command !== 'pull' && command !== 'build' && command !== 'info') {
    throw new CheckpointError(`Unknown command "${command}".\n\n${HELP}`);
  }
  if (name === undefined || rest.length > 0) {
    throw new CheckpointError(`"${command}" takes one argument.\n\n${HELP}`);
  }
  const { revision, out } = values;
  if (command === 'pull') {
    console.log(await pullModel(name, { revision, out }));
    return;
  }
  if (revision !== undefined || out !== undefined) {
    throw new CheckpointError(
      `--revision and --out are options of pull; "${command}" takes owner/name@revision.`,
    );
  }
  if (command === 'info') {
    await info(name);
    return;
  }
  const bundle = await build(name);
  await readTokenizer(bundle, await readManifest(bundle));
  console.log(bundle);
}

async function pullModel(
  name: string,
  { revision, out }: { revision: string | undefined; out: string | undefined },
): Promise<string> {
  const settings = readHubSettings(process.env);
  const model = parseModelId(name, settings.endpoint, revision);
  using bar = progressBar(`Downloading ${model.id}`);
  return await pull(model, settings, {
    onProgress: bar.draw,
    ...(out === undefined ? {} : { out }),
  });
}

async function build(name: string): Promise<string> {
  const checkpoint = await pullOrFind(name);
  using bar = progressBar('Building the bundle');
  return await ensureBundle(checkpoint, { onProgress: bar.draw });
}

async function pullOrFind(name: string): Promise<string> {
  using bar = progressBar(`Downloading ${name}`);
  return await resolveCheckpoint(name, { onProgress: bar.draw });
}

async function info(folder: string): Promise<void> {
  const isBundle = await access(join(folder, 'manifest.json')).then(
    () => true,
    () => false,
  );
  const rows = await describeBundle(isBundle ? folder : await build(folder));
  for (const [name, text] of Object.entries(rows)) {
    console.log(`${styleText('bold', name.padEnd(14))} ${text}`);
  }
}

try {
  await main();
} catch (error) {
  console.error(styleText('red', error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}
