/** Entry of `npm run part`: one part of a manifest of images, for arrays of jobs on Kubernetes or AWS Batch. */
import { dirname, resolve } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { withDefaults } from '@blip2/shared/config/option';
import { edgeModelFrom } from '@blip2/shared/edge-model';
import { servedModels } from '@blip2/shared/served-models';
import { readQFormerTokenizer, readTokenizer } from './builder/index.ts';
import { progressBar } from './cli/progress-bar.ts';
import { WORKER_OPTIONS } from './config.ts';
import { explained } from './file-errors.ts';
import { weightsChanged } from './http/worker-errors.ts';
import { formatSeconds } from './hub/progress.ts';
import { loadModels } from './load-models.ts';
import { createLogger } from './logger.ts';
import { expectRoom } from './parts/expect-room.ts';
import { partLines } from './parts/manifest.ts';
import { objectStore, placeOf } from './parts/object-store.ts';
import { PART_PROGRAM } from './parts/options.ts';
import { isPartDone, openOutput } from './parts/part-output.ts';
import { type LineRunner, runLine } from './parts/run-line.ts';
import { runPart } from './parts/run-part.ts';
import { tunedArguments, tunedEnvironment } from './runtime/memory-tuning.ts';

const { values: config } = configure(PART_PROGRAM);

const tuned = tunedEnvironment(process.env, process.platform);
if (tuned !== null) {
  const [node = process.execPath, ...rest] = process.argv;
  process.execve?.(node, [node, ...tunedArguments(process.execArgv), ...rest], tuned);
}
process.env.NVIDIA_TF32_OVERRIDE ??= '0';

/** Images that are read ahead of the engine, for each of its slots. */
const AHEAD = 4;

try {
  await explained(main);
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

async function main(): Promise<void> {
  const { manifest, output: address, part, partItems, task, checkpointItems } = config;
  if (manifest === undefined || address === undefined || part === undefined) {
    throw new Error('--manifest, --output and --part are needed. See --help.');
  }
  const settings = settingsOf(config.settings);
  const objects = objectStore(process.env);
  if (await isPartDone({ output: address, part, objects })) {
    console.error(`Part ${part} is there already.`);
    return;
  }
  const level = config.logLevel === 'info' ? 'warn' : config.logLevel;
  const log = createLogger({ level, write: (line) => process.stderr.write(line) });
  const loaded = await loadModels(withDefaults(WORKER_OPTIONS, config), log);
  const { generate, retrieve } = loaded.models;
  expectRoom({ output: address, task, settings, partItems }, loaded.models);
  const served = servedModels(edgeModelFrom(generate, retrieve, {}), {
    generate: await readTokenizer(loaded.bundles.generate, generate),
    instruction:
      generate.instruction === undefined
        ? ''
        : await readQFormerTokenizer(loaded.bundles.generate, {
            ...generate,
            instruction: generate.instruction,
          }),
    retrieve: retrieve ? await readTokenizer(loaded.bundles.retrieve ?? '', retrieve) : '',
  });
  const revisions = [generate.revision, retrieve?.revision];
  const order = { manifest, part, partItems, task, settings, revisions };
  await using output = await openOutput({
    ...{ output: address, part, order, checkpointItems, objects },
  });
  const crash = new AbortController();
  loaded.engine.onCrash((error) => crash.abort(error));
  loaded.weights.watch(() => crash.abort(weightsChanged()));
  const runner: LineRunner = {
    dependencies: loaded,
    served,
    task,
    settings,
    part,
    reading: {
      folder: placeOf(manifest) === null ? dirname(resolve(manifest)) : process.cwd(),
      objects,
      maxBytes: loaded.limits.maxBytes,
    },
    crashed: crash.signal,
  };
  using bar = progressBar(`Part ${part}`);
  const startedAt = performance.now();
  const ended = await runPart({
    output,
    lines: (from) => partLines({ manifest, part, partItems, objects }, from),
    run: (line, number) => runLine(runner, line, number),
    together: AHEAD * loaded.engine.slots,
    checkpointItems,
    onProgress: ({ done, own, failed }) => {
      const perSecond = (1000 * own) / (performance.now() - startedAt);
      const left = formatSeconds((partItems - done) / perSecond);
      const failures = failed > 0 ? `, ${failed} failed` : '';
      const label = `${done} of ${partItems}${failures}, ${perSecond.toPrecision(3)}/s, ${left} left`;
      bar.draw({ done, total: partItems, label });
    },
  });
  bar[Symbol.dispose]();
  const about =
    ended === null
      ? 'is there already'
      : `is done: ${ended.done} lines, ${ended.own} of them now, ${ended.failed} of these failed`;
  console.error(`Part ${part} ${about}.`);
}

function settingsOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {}
  throw new Error('--settings must be a JSON object.');
}
