/** Builds that are killed, run twice at once, find no room, or are of weights that are no numbers. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { describe, expect, it } from 'vitest';
import { CAN_MOUNT, smallDisk } from '../support/small-disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHECKPOINT = join(ROOT, 'test/parity/golden/half/checkpoint');
const root = temporaryFolder('test');
const bundles = join(root, 'bundles');

const visible = async (folder: string) =>
  (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith('.'));

function builder(checkpoint: string) {
  return spawn(process.execPath, ['gpu-worker/src/cli/model.ts', 'build', checkpoint], {
    cwd: ROOT,
    env: { ...process.env, BLIP2_BUNDLES: bundles },
    stdio: 'ignore',
  });
}

describe('builds of one bundle at the same time', () => {
  it('give one bundle and leave nothing beside it', async () => {
    const built = await Promise.all(
      Array.from({ length: 3 }, () => ensureBundle(CHECKPOINT, { bundles })),
    );
    await once(builder(CHECKPOINT), 'exit');
    expect(new Set(built).size).toBe(1);
    expect(await visible(bundles)).toEqual([basename(built[0]!)]);
    expect(await readdir(join(bundles, '.locks'))).toEqual([]);
  });
});

describe('a build that is killed', () => {
  it('leaves a draft that the next build of anything removes, and keeps those of builders that live', async () => {
    await mkdir(bundles, { recursive: true });
    const ended = spawnSync(process.execPath, ['--version']).pid;
    const gone = join(bundles, `other-0123456789ab.${ended}.0a1b2c3d.tmp`);
    const alive = join(bundles, `another-0123456789ab.${process.pid}.0a1b2c3d.tmp`);
    for (const folder of [gone, `${gone}.old`, alive]) await mkdir(folder);
    const bundle = await ensureBundle(CHECKPOINT, { bundles });
    expect((await visible(bundles)).sort()).toEqual([basename(alive), basename(bundle)].sort());
  });

  it('at any moment is made up for by the next', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const killed = builder(CHECKPOINT);
      const exit = once(killed, 'exit');
      await expect.poll(() => visible(bundles), { timeout: 20_000, interval: 5 }).not.toEqual([]);
      killed.kill(signal);
      await exit;
    }
    const bundle = await ensureBundle(CHECKPOINT, { bundles });
    expect(await visible(bundles)).toEqual([basename(bundle)]);
    await readManifest(bundle);
  }, 60_000);
});

describe('weights', () => {
  it.each([
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
  ])('with %s are refused by the name of their tensor', async (name, value) => {
    const checkpoint = join(root, 'checkpoint');
    await cp(CHECKPOINT, checkpoint, { recursive: true });
    const path = join(checkpoint, 'model.safetensors');
    const file = await readFile(path);
    const start = 8 + Number(file.readBigUInt64LE());
    const header = JSON.parse(file.toString('utf8', 8, start));
    const tensor = 'query_tokens';
    const { dtype, data_offsets } = header[tensor];
    const bits = new DataView(new ArrayBuffer(4));
    if (dtype === 'F32') bits.setFloat32(0, value, true);
    else if (dtype === 'F16') bits.setFloat16(0, value, true);
    else bits.setUint16(0, Number.isNaN(value) ? 0x7fc0 : 0x7f80, true);
    file.set(new Uint8Array(bits.buffer, 0, dtype === 'F32' ? 4 : 2), start + data_offsets[0]);
    await writeFile(path, file);
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(
      new RegExp(`${tensor} holds ${name}.*Download or save it again`),
    );
    expect(await visible(bundles)).toEqual([]);
  });

  it('whose revision is remembered wrongly are built under their own', async () => {
    const checkpoint = join(root, 'checkpoint');
    await cp(CHECKPOINT, checkpoint, { recursive: true });
    const first = await ensureBundle(checkpoint, { bundles });
    for (const entry of await readdir(join(bundles, '.revisions'))) {
      await writeFile(join(bundles, '.revisions', entry), 'e'.repeat(64));
    }
    expect(await ensureBundle(checkpoint, { bundles })).toBe(first);
  });
});

describe('a disk that is too small', () => {
  it.skipIf(!CAN_MOUNT).each([
    ['before the build', '128k', 'fp32'],
    // Of so small a model, less than usual is in few bits: the estimate is short.
    ['while it is written', '200k', 'int4'],
  ] as const)('is named with what is needed and free %s', async (_, size, precision) => {
    using _disk = smallDisk(bundles, size);
    await expect(ensureBundle(CHECKPOINT, { bundles, precision })).rejects.toThrow(
      /bundles is too full: about \d+ MB are needed, \d+ MB are free\. BLIP2_BUNDLES chooses another place/,
    );
    expect(await visible(bundles)).toEqual([]);
  });
});
