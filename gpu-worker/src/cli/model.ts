/** `npm run model`: pulls checkpoints, builds bundles, and describes them. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { helpOf } from '@blip2/shared/config/help';
import { nearest } from '@blip2/shared/config/nearest';
import {
  CheckpointError,
  ensureBundle,
  objectionTo,
  objectionToModel,
  readManifest,
  readTokenizer,
} from '../builder/index.ts';
import { type PullOptions, parseModelId, pull, resolveCheckpoint } from '../hub/index.ts';
import { bundleOptionsOf, hubOptionsOf } from '../model-options.ts';
import { describeBundle } from './describe-bundle.ts';
import { MODEL_PROGRAM } from './program.ts';
import { progressBar } from './progress-bar.ts';

const {
  values: config,
  positionals: [command, name],
} = configure(MODEL_PROGRAM);
const hub = hubOptionsOf(config);

async function main(): Promise<void> {
  if (command === undefined) {
    console.log(helpOf(MODEL_PROGRAM));
    return;
  }
  if (command !== 'pull' && command !== 'build' && command !== 'info') {
    const meant = nearest(command, ['pull', 'build', 'info']);
    const advice = meant === undefined ? 'See --help.' : `Did you mean ${meant}?`;
    throw new CheckpointError(`Unknown command "${command}". ${advice}`);
  }
  if (name === undefined) throw new CheckpointError(`"${command}" lacks its argument. See --help.`);
  if (command === 'pull') {
    console.log(await pullModel(name));
    return;
  }
  if (config.revision !== undefined || config.out !== undefined) {
    throw new CheckpointError(
      `--revision and --out are options of pull; give "${command}" owner/name@revision.`,
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

async function pullModel(name: string): Promise<string> {
  const { revision, out } = config;
  const model = parseModelId(name, hub.endpoint, revision);
  using bar = progressBar(`Downloading ${model.id}`);
  const options = {
    onProgress: bar.draw,
    objection: objectionTo,
    ...(out === undefined ? {} : { out }),
  };
  return await pull(model, hub, options);
}

async function build(name: string): Promise<string> {
  const checkpoint = await findOrPull(name, { objection: objectionTo });
  using bar = progressBar('Building the bundle');
  return await ensureBundle(checkpoint, {
    ...bundleOptionsOf(config),
    onProgress: bar.draw,
    resolveBase: (id, isTokenizerNeeded) =>
      findOrPull(id, { isTokenizerNeeded, objection: objectionToModel }),
  });
}

async function findOrPull(name: string, options: PullOptions = {}): Promise<string> {
  using bar = progressBar(`Downloading ${name}`);
  return await resolveCheckpoint(name, hub, { ...options, onProgress: bar.draw });
}

async function info(folder: string): Promise<void> {
  const isBundle = await access(join(folder, 'manifest.json')).then(
    () => true,
    () => false,
  );
  const rows = await describeBundle(isBundle ? folder : await build(folder));
  for (const [label, text] of Object.entries(rows)) {
    console.log(`${styleText('bold', label.padEnd(14))} ${text}`);
  }
}

try {
  await main();
} catch (error) {
  console.error(styleText('red', error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}
