/** The cache has the layout of huggingface_hub, so that either finds what the other has brought. */
import {
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveCheckpoint } from './resolve.ts';
import { CHECKPOINT, HubFixture } from './testing/hub-fixture.ts';
import { COMMIT, MODEL } from './testing/hub-server.ts';

const SHARD = 'model-00002-of-00005.safetensors';

/** Files of a folder and below, sorted. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .sort();
}

/** Leaves the files of the hub in the cache as huggingface_hub does. */
async function pulledElsewhere(
  { hub, repository, folder }: HubFixture,
  isPulled: (name: string) => boolean = () => true,
): Promise<void> {
  await mkdir(join(repository, 'blobs'), { recursive: true });
  await mkdir(folder, { recursive: true });
  for (const [name, bytes] of hub.files) {
    if (!isPulled(name)) continue;
    await writeFile(join(repository, 'blobs', hub.digestOf(name)), bytes);
    await symlink(`../../blobs/${hub.digestOf(name)}`, join(folder, name));
  }
  await mkdir(join(repository, 'refs'));
  await writeFile(join(repository, 'refs/main'), COMMIT);
}

describe('a pulled model', () => {
  it('is one blob a file, links to them, and a ref', async () => {
    await using fixture = await HubFixture.open();
    const { hub, repository, folder } = fixture;
    await fixture.pull();
    const names = [...hub.files.keys()];
    const blobs = names.map((name) => `blobs/${hub.digestOf(name)}`);
    const links = names.map((name) => `snapshots/${COMMIT}/${name}`);
    const absent = [
      ...['added_tokens', 'preprocessor_config', 'processor_config'],
      ...['special_tokens_map', 'tokenizer_config'],
    ].map((name) => `.no_exist/${COMMIT}/${name}.json`);
    expect(await filesIn(repository)).toEqual([...absent, ...blobs, 'refs/main', ...links].sort());
    expect(await readFile(join(repository, 'refs/main'), 'utf8')).toBe(COMMIT);
    for (const name of names) {
      expect(await readlink(join(folder, name))).toBe(`../../blobs/${hub.digestOf(name)}`);
    }
    expect(await filesIn(fixture.cache)).toHaveLength(2 * names.length + 1 + absent.length);
  });

  it('is named by a branch with slashes too, and by a commit without a ref', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.revisions.set('refs/pr/3', COMMIT);
    await fixture.pull({}, `${MODEL}@refs/pr/3`);
    await fixture.pull({}, `${MODEL}@${COMMIT}`);
    const refs = join(fixture.repository, 'refs');
    expect(await filesIn(refs)).toEqual(['refs/pr/3']);
    fixture.hub.requests.length = 0;
    for (const revision of ['refs/pr/3', COMMIT]) {
      const found = await resolveCheckpoint(`${MODEL}@${revision}`, fixture.options);
      expect(found).toBe(fixture.folder);
    }
    expect(fixture.hub.requests).toEqual([]);
  });

  it('has files of the same content once', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('LICENSE', Buffer.from('the same'));
    fixture.hub.files.set('README.md', Buffer.from('the same'));
    await fixture.pull();
    await fixture.expectWhole();
    expect(fixture.hub.downloads.filter((name) => /LICENSE|README/.test(name))).toHaveLength(1);
  });

  it('takes from the last commit what the next has unchanged', async () => {
    await using fixture = await HubFixture.open();
    await fixture.pull();
    const next = 'd'.repeat(40);
    fixture.hub.commit = next;
    fixture.hub.revisions.set('main', next);
    fixture.hub.files.set('tokenizer.json', Buffer.from('{}'));
    fixture.hub.requests.length = 0;
    const folder = await fixture.pull();
    expect(folder).toBe(join(dirname(fixture.folder), next));
    expect(fixture.hub.downloads).toEqual(['tokenizer.json']);
    await fixture.expectWhole(folder);
    expect((await readFile(join(fixture.folder, 'tokenizer.json'))).length).toBeGreaterThan(2);
  });
});

describe('what another library has pulled', () => {
  it.each([
    ['the whole repository', '.gitattributes'],
    ['PyTorch weights of two formats that the hub has', 'pytorch_model.bin'],
  ])('is used without a request: %s', async (_what, name) => {
    await using fixture = await HubFixture.open();
    const { hub } = fixture;
    hub.files.set(name, Buffer.from('anything'));
    if (name === 'pytorch_model.bin') hub.files.set('.gitattributes', Buffer.from('*.bin'));
    await pulledElsewhere(
      fixture,
      (each) => name !== 'pytorch_model.bin' || !each.includes('safetensors'),
    );
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(hub.requests).toEqual([]);
  });

  it('is used as it is where the hub cannot be reached, or not be asked', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('preprocessor_config.json', Buffer.from('{}'));
    await pulledElsewhere(fixture);
    const nobody = { ...fixture.options, endpoint: 'http://127.0.0.1:2' };
    expect(await resolveCheckpoint(MODEL, nobody)).toBe(fixture.folder);
    const offline = { ...fixture.options, offline: true };
    expect(await resolveCheckpoint(MODEL, offline)).toBe(fixture.folder);
  });

  it.each(['generation_config.json', 'tokenizer_config.json', 'processor_config.json'])(
    'is completed with what was never asked for and is read: %s',
    async (name) => {
      await using fixture = await HubFixture.open();
      fixture.hub.files.set('preprocessor_config.json', Buffer.from('{}'));
      fixture.hub.files.set(name, Buffer.from(`{"of": "${name}"}`));
      await pulledElsewhere(fixture, (each) => each !== name);
      expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
      expect(fixture.hub.downloads).toEqual([name]);
    },
  );

  it('is used where that has copied files instead of linking them', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('.gitattributes', Buffer.from('*.bin'));
    await pulledElsewhere(fixture, () => false);
    await cp(CHECKPOINT, fixture.folder, { recursive: true });
    await writeFile(join(fixture.folder, '.gitattributes'), '*.bin');
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(await fixture.pull()).toBe(fixture.folder);
    expect(fixture.hub.downloads).toEqual([]);
    expect((await lstat(join(fixture.folder, SHARD))).isSymbolicLink()).toBe(false);
  });

  it.each(['tokenizer.json', SHARD, 'model.safetensors.index.json', 'config.json'])(
    'is completed where %s is missing',
    async (missing) => {
      await using fixture = await HubFixture.open();
      await pulledElsewhere(fixture, (name) => name !== missing);
      expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
      expect(fixture.hub.downloads).toEqual([missing]);
      await fixture.expectWhole();
    },
  );

  it('is asked for once where it may lack what the model has', async () => {
    await using fixture = await HubFixture.open();
    await pulledElsewhere(fixture);
    await resolveCheckpoint(MODEL, fixture.options);
    expect(fixture.hub.requests.length).toBeGreaterThan(0);
    expect(fixture.hub.downloads).toEqual([]);
    fixture.hub.requests.length = 0;
    await resolveCheckpoint(MODEL, fixture.options);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('is fetched again where a link leads to nothing', async () => {
    await using fixture = await HubFixture.open();
    await pulledElsewhere(fixture);
    await rm(join(fixture.repository, 'blobs', fixture.hub.digestOf(SHARD)));
    await resolveCheckpoint(MODEL, fixture.options);
    expect(fixture.hub.downloads).toEqual([SHARD]);
    await fixture.expectWhole();
  });

  it.each([
    [SHARD, `${SHARD} missing in`],
    ['tokenizer.json', 'its tokenizer missing in'],
    ['config.json', 'config.json missing in'],
    ['preprocessor_config.json', 'preprocessor_config.json missing in'],
  ])(
    'is not used offline where a file is missing, which is named: %s',
    async (missing, message) => {
      await using fixture = await HubFixture.open({ offline: true });
      if (missing !== 'preprocessor_config.json') {
        fixture.hub.files.set('preprocessor_config.json', Buffer.from('{}'));
      }
      await pulledElsewhere(fixture, (name) => name !== missing);
      const refusal = expect(resolveCheckpoint(MODEL, fixture.options)).rejects;
      await refusal.toThrow(
        /HF_HUB_OFFLINE is set, and .* not hold all of tests\/tiny-blip2 at main/,
      );
      await refusal.toThrow(message);
    },
  );
});
