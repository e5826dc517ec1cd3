/** Caches whose disk is full, that fail, whose values are damaged, or that hold another's value. */
import { execFile } from 'node:child_process';
import { glob, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { FaultScenario, Preparation } from '../scenario.ts';
import type { World } from '../world.ts';

const run = promisify(execFile);

const DISK_BYTES = 24 * 2 ** 20;
const FAULT_MS = 8000;

async function smallDisk(): Promise<Preparation | { why: string }> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    return { why: 'only root mounts a small disk' };
  }
  const folder = await mkdtemp(join(tmpdir(), 'chaos-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true });
    return { why: 'a small disk cannot be mounted here' };
  }
  return {
    options: { folder },
    [Symbol.asyncDispose]: async () => {
      await run('umount', [folder]);
      await rm(folder, { recursive: true });
    },
  };
}

const diskFull: FaultScenario = {
  kind: 'fault',
  name: 'disk-full',
  about: 'the disk of KV and colo cache is full for 8 s',
  mayForget: true,
  prepare: smallDisk,
  run: async (world) => {
    const filler = join(world.folder, 'filler');
    const block = Buffer.alloc(64 * 1024);
    // Until nothing more fits.
    for (let isFull = false; !isFull; ) {
      await writeFile(filler, block, { flag: 'a' }).catch(() => {
        isFull = true;
      });
    }
    await delay(FAULT_MS);
    await rm(filler);
    world.faulted();
  },
};

/** Files in which workerd keeps the values of KV and of the colo cache. */
async function values(world: World): Promise<string[]> {
  const entries = await readdir(world.folder, { recursive: true, withFileTypes: true });
  return entries
    .filter(({ name, parentPath }) => /[/\\]blobs$/.test(parentPath) && !name.endsWith('.tmp'))
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** Stops workerd, so that nothing is written meanwhile. */
async function freeze(world: World): Promise<void> {
  process.kill(await world.edge(), 'SIGSTOP');
  await delay(100);
}

/** The isolate's own memory would hide what happens to the storage. */
async function forget(world: World): Promise<void> {
  process.kill(await world.edge(), 'SIGKILL');
  world.faulted();
}

const damaged: FaultScenario = {
  kind: 'fault',
  name: 'cache-damaged',
  about: 'bits of every cached value flip, and half of them are cut short',
  mayForget: true,
  run: async (world) => {
    await freeze(world);
    for (const [i, path] of (await values(world)).entries()) {
      const bytes = await readFile(path);
      if (bytes.length === 0) continue;
      const at = world.random.below(bytes.length);
      bytes.writeUInt8((bytes.readUInt8(at) ^ (1 << world.random.below(8))) & 0xff, at);
      await writeFile(path, i % 2 === 0 ? bytes : bytes.subarray(0, bytes.length / 2));
    }
    await forget(world);
  },
};

/** Each look-up and each entry that is stored is an error meanwhile: its table is away. */
const failing: FaultScenario = {
  kind: 'fault',
  name: 'cache-fails',
  about: 'every call to KV and colo cache fails, for 8 s',
  run: async (world) => {
    const rename = async (from: string, to: string) => {
      for (const kind of ['kv', 'cache']) {
        const folder = join(world.folder, 'v3', kind);
        for await (const path of glob('*/*.sqlite', { cwd: folder, exclude: ['*/blobs'] })) {
          using database = new DatabaseSync(join(folder, path), { timeout: FAULT_MS });
          const named = database.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?');
          if (named.get(from)) database.exec(`ALTER TABLE ${from} RENAME TO ${to}`);
        }
      }
    };
    await rename('_mf_entries', 'away');
    const kv = await world.stack.kv('EMBEDDINGS');
    const answers = await kv.get('healthz').then(
      () => true,
      () => false,
    );
    if (answers) throw new Error('KV answers although its table is away');
    await delay(FAULT_MS);
    await rename('away', '_mf_entries');
    world.faulted();
  },
};

const lying: FaultScenario = {
  kind: 'fault',
  name: 'cache-lies',
  about: "every cached value is another image's",
  isShort: true,
  mayForget: true,
  run: async (world) => {
    await freeze(world);
    const bySize = Map.groupBy(
      await Promise.all(
        (await values(world)).map(async (path) => ({ path, size: (await stat(path)).size })),
      ),
      ({ size }) => size,
    );
    for (const same of bySize.values()) {
      const contents = await Promise.all(same.map(({ path }) => readFile(path)));
      const shifted = [...contents.slice(1), ...contents.slice(0, 1)];
      await Promise.all(same.map(({ path }, i) => writeFile(path, shifted[i] ?? '')));
    }
    await forget(world);
  },
};

export const STORAGE_SCENARIOS = [diskFull, failing, damaged, lying] as const;
