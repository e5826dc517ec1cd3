/** Damaged bundles and checkpoints, and builds that meet or are killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chooseCheckpoints, MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { startStack } from '../../local-stack.ts';
import { ROOT } from '../../prepare-edge.ts';
import { CALLS } from '../calls.ts';
import { type KnownScene, knownScenes } from '../known.ts';
import type { Random } from '../random.ts';
import type { Trial, TrialScenario } from '../scenario.ts';

const DEFAULTS = withDefaults(MODEL_OPTIONS);
const EMBEDDED = chooseCheckpoints(DEFAULTS).checkpoint;

let known: readonly KnownScene[] | undefined;

const trial = (
  name: string,
  about: string,
  run: (trial: Trial, folder: string) => Promise<void>,
): TrialScenario => ({
  kind: 'trial',
  name,
  about,
  run: async (given) => {
    const folder = await mkdtemp(join(tmpdir(), 'chaos-files-'));
    try {
      known ??= await startedWith({ bundles: DEFAULTS.bundles }, knownScenes);
      await run(given, folder);
      const start = performance.now();
      // What is right is served from these folders, or beside them.
      await startedWith({ bundles: DEFAULTS.bundles }, async (url) => void (await fetch(url)));
      return { stuck: 0, recoverySeconds: (performance.now() - start) / 1000 };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

/** Runs something with a service of the embedded model. */
async function startedWith<T>(
  { bundles, checkpoint }: { bundles: string; checkpoint?: string },
  use: (url: string) => Promise<T>,
): Promise<T> {
  const stack = await startStack({
    model: { ...DEFAULTS, bundles, ...(checkpoint !== undefined && { checkpoint }) },
    workerEnv: { BLIP2_LOG_LEVEL: 'silent' },
    logLevel: 'none',
  });
  try {
    return await use(stack.url);
  } finally {
    await stack.stop();
  }
}

/** Starts a service with such files: it refuses, or it is right. */
async function refusesOrIsRight(
  { tally, random }: Trial,
  files: { bundles: string; checkpoint?: string },
): Promise<void> {
  try {
    await startedWith(files, async (url) => {
      for (const scene of known ?? []) tally.add(await CALLS.caption(url, scene, random));
    });
  } catch {
    tally.add({ label: 'does not start', isWrong: false, isLost: false });
  }
}

/** Flips bits all over a file's second half, where weights are. */
async function flipBits(path: string, random: Random, count: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  for (let i = 0; i < count; i++) {
    const at = Math.floor(size / 2) + random.below(Math.floor(size / 2));
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
    buffer.writeUInt8((buffer.readUInt8(0) ^ 0x40) & 0xff);
    await file.write(buffer, 0, 1, at);
  }
}

const cutInHalf = async (path: string) => truncate(path, Math.floor((await stat(path)).size / 2));

async function filesNamed(folder: string, name: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries.filter((path) => name.test(path)).map((path) => join(folder, path));
}

type Damage = (path: string, random: Random) => Promise<void>;

const bundleWith = (name: string, what: string, files: RegExp, damage: Damage) =>
  trial(`bundle-${name}`, `${what} in a bundle, before a start`, async (given, folder) => {
    await cp(DEFAULTS.bundles, folder, {
      recursive: true,
      filter: (path) => !/-int[48]|checkpoint-/.test(path),
    });
    for (const path of await filesNamed(folder, files)) {
      await chmod(path, 0o644);
      await damage(path, given.random);
    }
    await refusesOrIsRight(given, { bundles: folder });
  });

const checkpointWith = (name: string, what: string, files: RegExp, damage: Damage) =>
  trial(`checkpoint-${name}`, `${what} of a checkpoint, before a start`, async (given, folder) => {
    const checkpoint = join(folder, 'checkpoint');
    await cp(EMBEDDED, checkpoint, { recursive: true });
    for (const path of await filesNamed(checkpoint, files)) await damage(path, given.random);
    await refusesOrIsRight(given, { bundles: join(folder, 'bundles'), checkpoint });
  });

function build(bundles: string) {
  const entry = join(ROOT, 'gpu-worker/src/cli/model.ts');
  return spawn(process.execPath, [entry, 'build', EMBEDDED], {
    env: { ...process.env, BLIP2_BUNDLES: bundles },
    stdio: 'ignore',
  });
}

const together = trial(
  'builds-together',
  'two builds of one bundle at once',
  async (given, folder) => {
    const builds = [build(folder), build(folder)].map((child) => once(child, 'exit'));
    for (const [code] of await Promise.all(builds)) {
      given.tally.add({ label: `build ended with ${code}`, isWrong: code !== 0, isLost: false });
    }
    await refusesOrIsRight(given, { bundles: folder });
  },
);

const killed = trial('build-killed', 'SIGKILL in a build, three times', async (given, folder) => {
  for (let i = 0; i < 3; i++) {
    const child = build(folder);
    const exited = once(child, 'exit');
    await delay(300 + given.random.below(1500));
    child.kill('SIGKILL');
    await exited;
  }
  await refusesOrIsRight(given, { bundles: folder });
});

export const FILE_SCENARIOS = [
  bundleWith('damaged', '64 flipped bits in each file of weights', /\.bin$/, (path, random) =>
    flipBits(path, random, 64),
  ),
  bundleWith('cut', 'each file of weights is half', /\.bin$/, cutInHalf),
  bundleWith('tokenizer-cut', 'half a tokenizer', /tokenizer\.json$/, cutInHalf),
  bundleWith('manifest-cut', 'half a manifest', /manifest\.json$/, cutInHalf),
  checkpointWith('cut', 'half the weights', /\.safetensors$/, cutInHalf),
  checkpointWith('config-cut', 'half the config', /config\.json$/, cutInHalf),
  together,
  killed,
] as const;
