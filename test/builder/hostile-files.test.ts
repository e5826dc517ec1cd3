/** Checkpoints with links, pipes, and more than any has; disks that are full; bundles that nobody writes into. */
import { spawnSync } from 'node:child_process';
import { cp, link, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckpointError, ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { beforeEach, describe, expect, it } from 'vitest';
import { CAN_MOUNT, smallDisk } from '../support/small-disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHECKPOINT = join(ROOT, 'test/parity/golden/half/checkpoint');
const OPT = join(ROOT, 'test/parity/golden/api-opt/checkpoint');
const root = temporaryFolder('test');
const bundles = join(root, 'bundles');
const checkpoint = join(root, 'checkpoint');
const at = (name: string) => join(checkpoint, name);

beforeEach(() => cp(CHECKPOINT, checkpoint, { recursive: true }));

/** @returns the message */
async function refusal(folder = checkpoint): Promise<string> {
  const error = await ensureBundle(folder, { bundles }).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(CheckpointError);
  const left = (await readdir(bundles).catch(() => [])).filter((name) => !name.startsWith('.'));
  expect(left).toEqual([]);
  expect(await readdir(join(bundles, '.locks')).catch(() => [])).toEqual([]);
  return (error as Error).message;
}

async function replace(name: string, make: (path: string) => unknown): Promise<void> {
  await rm(at(name), { force: true });
  await make(at(name));
}

describe('a checkpoint', () => {
  it.each(['model.safetensors', 'config.json', 'tokenizer.json', 'README.md'])(
    'with a link as %s to a file elsewhere is refused by its name',
    async (name) => {
      const secret = join(root, 'secret');
      await cp(name === 'README.md' ? join(ROOT, name) : at(name), secret);
      await replace(name, (path) => symlink(secret, path));
      expect(await refusal()).toMatch(`${at(name)} is a link to ${secret}, outside of its folder`);
    },
  );

  it.each(['model.safetensors', 'config.json', 'tokenizer.json', 'README.md'])(
    'with a pipe as %s is refused by its name',
    async (name) => {
      await replace(name, (path) => spawnSync('mkfifo', [path]));
      expect(await refusal()).toMatch(`${at(name)} is a pipe (FIFO), not a file`);
    },
  );

  it('with a folder as tokenizer.json, or links in a circle, is refused by their names', async () => {
    await replace('tokenizer.json', mkdir);
    expect(await refusal()).toMatch(`${at('tokenizer.json')} is a folder, not a file`);
    await rm(at('tokenizer.json'), { recursive: true });
    await symlink('tokenizer.json', at('tokenizer.json'));
    expect(await refusal()).toMatch(`${at('tokenizer.json')} cannot be looked at: its links lead`);
  });

  it("in the layout of Hugging Face's cache is read through its links", async () => {
    const model = join(root, 'models--o--n');
    const snapshot = join(model, 'snapshots/main');
    await cp(checkpoint, join(model, 'blobs'), { recursive: true });
    await mkdir(snapshot, { recursive: true });
    for (const name of await readdir(checkpoint)) {
      await symlink(join('../../blobs', name), join(snapshot, name));
    }
    const bundle = await ensureBundle(snapshot, { bundles });
    expect((await stat(join(bundle, 'config.json'))).isFile()).toBe(true);
    await rm(join(snapshot, 'config.json'));
    await symlink(at('config.json'), join(snapshot, 'config.json'));
    await expect(ensureBundle(snapshot, { bundles })).rejects.toThrow(/outside of its folder/);
  });
});

type Tokenizer = {
  added_tokens: Record<string, unknown>[];
  model: { vocab: Record<string, number>; merges: unknown[] };
};
const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const long = 'x'.repeat(20_000_000);

describe('a tokenizer', () => {
  beforeEach(async () => {
    await rm(checkpoint, { recursive: true });
    await cp(OPT, checkpoint, { recursive: true });
  });

  it.each<[string, (file: Tokenizer) => void, RegExp]>([
    [
      'half a million words too many',
      ({ model }) => {
        for (let id = 0; id < 500_000; id++) model.vocab[`w${id}`] = id;
      },
      /tokenizer\.json: vocab has \d+ entries, and at most 500000 are supported/,
    ],
    [
      'too many added tokens',
      (file) => {
        file.added_tokens = Array.from({ length: 20_001 }, (_, id) => ({ id, content: `<${id}>` }));
      },
      /added_tokens has 20001 entries, and at most 20000/,
    ],
    [
      'a negative id',
      ({ model }) => void Object.assign(model.vocab, { wrong: -3 }),
      /vocab: "wrong" has the id -3, and ids are whole numbers from 0 to 499999/,
    ],
    [
      'an id that is no whole number',
      ({ model }) => void Object.assign(model.vocab, { wrong: 0.5 }),
      /vocab: "wrong" has the id 0\.5/,
    ],
    [
      'a special token with a huge id',
      ({ added_tokens }) =>
        void added_tokens.push({ ...flags, id: 2 ** 40, content: '<huge>', special: true }),
      /added_tokens: "<huge>" has the id 1099511627776/,
    ],
    [
      'a word of 20 MB',
      ({ model }) => void Object.assign(model.vocab, { [long]: 900 }),
      /vocab: "x{60}…" has 20000000 characters, and a token has 1000 at most/,
    ],
    [
      'an added token of 20 MB',
      ({ added_tokens }) =>
        void added_tokens.push({ ...flags, id: 901, content: long, special: true }),
      /added_tokens: "x{60}…" has 20000000 characters/,
    ],
    [
      'a merge of 20 MB',
      ({ model }) => void model.merges.push(`${long} a`),
      /merges: "x{60}…" has 20000000 characters/,
    ],
  ])('with %s is refused by it', async (_, change, message) => {
    const file = JSON.parse(await readFile(at('tokenizer.json'), 'utf8'));
    change(file);
    await writeFile(at('tokenizer.json'), JSON.stringify(file));
    const refused = await refusal();
    expect(refused).toMatch(message);
    expect(refused.length).toBeLessThan(1000);
  });

  it.each<[string, string, unknown, RegExp]>([
    [
      'added_tokens.json has a negative id',
      'added_tokens.json',
      { '<region>': -3 },
      /added_tokens\.json: .*"<region>" has the id -3/,
    ],
    [
      'tokenizer_config.json has a huge id',
      'tokenizer_config.json',
      { added_tokens_decoder: { [2 ** 40]: { content: '<region>', special: true } } },
      /tokenizer_config\.json: .*"<region>" has the id 1099511627776/,
    ],
  ])('whose %s is refused by it', async (_, name, content, message) => {
    await writeFile(at(name), JSON.stringify(content));
    expect(await refusal()).toMatch(message);
  });

  it('of older files is held to the same', async () => {
    const { model } = JSON.parse(await readFile(at('tokenizer.json'), 'utf8'));
    await rm(at('tokenizer.json'));
    await writeFile(at('merges.txt'), '#version: 0.2\n');
    await writeFile(at('vocab.json'), JSON.stringify({ ...model.vocab, wrong: -3 }));
    expect(await refusal()).toMatch(/vocab\.json: vocab: "wrong" has the id -3/);
    await writeFile(at('vocab.json'), JSON.stringify(model.vocab));
    await writeFile(at('merges.txt'), `${'x'.repeat(2000)} a\n`);
    expect(await refusal()).toMatch(/merges\.txt: merges: "x{60}…" has 2000 characters/);
  });
});

describe('a disk that is full', () => {
  it.skipIf(!CAN_MOUNT)(
    'before the lock is named with what is free, and nothing is left',
    async () => {
      using _disk = smallDisk(bundles, '64k');
      await mkdir(join(bundles, '.locks'));
      spawnSync('sh', ['-c', `cat /dev/zero > ${join(bundles, '.filler')}`]);
      expect(await refusal()).toMatch(
        /bundles\/\S+ cannot be \w+: the disk is full \(0 MB are free\) \(ENOSPC\)\..* BLIP2_BUNDLES chooses another place/,
      );
    },
  );

  it.skipIf(!CAN_MOUNT)('of what a killed build has left is freed by the next', async () => {
    using _disk = smallDisk(bundles, '4m');
    const ended = spawnSync(process.execPath, ['--version']).pid;
    const draft = join(bundles, `other-0123456789ab.${ended}.0a1b2c3d.tmp`);
    await mkdir(draft);
    await mkdir(join(bundles, '.locks'));
    spawnSync('sh', ['-c', `cat /dev/zero > ${join(draft, 'decoder.bin')}`]);
    const bundle = await ensureBundle(checkpoint, { bundles });
    expect((await readdir(bundles)).filter((name) => !name.startsWith('.'))).toEqual([
      basename(bundle),
    ]);
  });

  it('for this process alone is named by the file and the limit', async () => {
    const entry = join(ROOT, 'gpu-worker/src/cli/model.ts');
    const { stderr } = spawnSync(
      'sh',
      ['-c', `ulimit -f 100; exec '${process.execPath}' '${entry}' build '${checkpoint}'`],
      { env: { ...process.env, BLIP2_BUNDLES: bundles }, encoding: 'utf8' },
    );
    expect(stderr).toMatch(
      /\.bin cannot be written: it is larger than this process may write \(EFBIG\)\. Raise the limit \(ulimit -f\)/,
    );
    expect(await readdir(join(bundles, '.locks'))).toEqual([]);
  });
});

describe('the files of a bundle', () => {
  it('are read-only, and can still be linked, replaced and removed', async () => {
    const bundle = await ensureBundle(checkpoint, { bundles });
    const { files } = await readManifest(bundle);
    for (const { path } of [...files, { path: 'manifest.json' }]) {
      expect((await stat(join(bundle, path))).mode & 0o777, path).toBe(0o444);
    }
    const other = join(root, 'other');
    await mkdir(other);
    await link(join(bundle, 'decoder.bin'), join(other, 'decoder.bin'));
    await rm(join(bundle, 'config.json'));
    expect(await ensureBundle(checkpoint, { bundles })).toBe(bundle);
    expect((await stat(join(bundle, 'config.json'))).mode & 0o777).toBe(0o444);
  });
});
