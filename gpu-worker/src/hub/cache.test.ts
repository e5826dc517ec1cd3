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
    const absent = `.no_exist/${COMMIT}/preprocessor_config.json`;
    expect(await filesIn(repository)).toEqual([absent, ...blobs, 'refs/main', ...links].sort());
    expect(await readFile(join(repository, 'refs/main'), 'utf8')).toBe(COMMIT);
    for (const name of names) {
      expect(await readlink(join(folder, name))).toBe(`../../blobs/${hub.digestOf(name)}`);
    }
    expect(await filesIn(fixture.cache)).toHaveLength(2 * names.length + 2);
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
  it('is used without a request', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('preprocessor_config.json', Buffer.from('{}'));
    await pulledElsewhere(fixture);
    expect(await resolveCheckpoint(MODEL, fixture.options)).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('is used where that has copied files instead of linking them', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('preprocessor_config.json', Buffer.from('{}'));
    await pulledElsewhere(fixture, () => false);
    await cp(CHECKPOINT, fixture.folder, { recursive: true });
    await writeFile(join(fixture.folder, 'preprocessor_config.json'), '{}');
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

  it('is not used offline where a file is missing', async () => {
    await using fixture = await HubFixture.open({ offline: true });
    await pulledElsewhere(fixture, (name) => name !== SHARD);
    await expect(resolveCheckpoint(MODEL, fixture.options)).rejects.toThrow(
      /HF_HUB_OFFLINE is set, and .* does not hold all of tests\/tiny-blip2 at main/,
    );
  });
});
