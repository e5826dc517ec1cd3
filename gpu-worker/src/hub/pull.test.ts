import { spawnSync } from 'node:child_process';
import { lstat, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PullProgress } from './progress.ts';
import { HubFixture } from './testing/hub-fixture.ts';
import { COMMIT, MODEL } from './testing/hub-server.ts';

const SHARD = 'model-00001-of-00005.safetensors';

describe('pulling a model', () => {
  it('brings every file a bundle needs, and a second time fetches nothing', async () => {
    await using fixture = await HubFixture.open();
    expect(await fixture.pull()).toBe(fixture.folder);
    await fixture.expectWhole();
    const files = fixture.hub.requests.filter(({ path }) => !path.startsWith('/api/'));
    expect(new Set(files.map(({ encoding }) => encoding))).toEqual(new Set(['identity']));

    fixture.hub.requests.length = 0;
    expect(await fixture.pull()).toBe(fixture.folder);
    expect(fixture.hub.downloads).toEqual([]);
  });

  it('leaves out what no bundle needs', async () => {
    await using fixture = await HubFixture.open();
    for (const name of ['pytorch_model.bin', 'tf_model.h5', 'training_args.json', 'demo.png']) {
      fixture.hub.files.set(name, Buffer.from(name));
    }
    await fixture.pull();
    for (const name of ['pytorch_model.bin', 'tf_model.h5', 'training_args.json', 'demo.png']) {
      expect(fixture.hub.files.delete(name)).toBe(true);
    }
    await fixture.expectWhole();
  });

  it('stays with one commit though the branch moves meanwhile', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = ({ path }) => {
      if (path.includes('/tree/')) fixture.hub.revisions.set('main', 'd'.repeat(40));
      return false;
    };
    await fixture.pull();
    await fixture.expectWhole();
    const paths = fixture.hub.requests
      .filter(({ server }) => server === 'hub')
      .map(({ path }) => path);
    expect(paths[0]).toBe(`/api/models/${MODEL}/revision/main`);
    expect(paths.slice(1).every((path) => path.includes(`/${COMMIT}`))).toBe(true);
  });

  it.each(['v1.0', 'refs/pr/3'])('takes the revision %s', async (revision) => {
    await using fixture = await HubFixture.open();
    fixture.hub.revisions.clear();
    fixture.hub.revisions.set(revision, COMMIT);
    await fixture.pull({}, `${MODEL}@${revision}`);
    await fixture.expectWhole();
  });

  it('downloads four files at a time', async () => {
    await using fixture = await HubFixture.open();
    const held: (() => void)[] = [];
    let running = 0;
    let most = 0;
    fixture.hub.intercept = ({ server }, response, bytes) => {
      if (server === 'hub') return false;
      running += 1;
      most = Math.max(most, running);
      response.once('finish', () => {
        running -= 1;
      });
      held.push(() => response.end(bytes));
      // The first four are answered only when all four are there.
      if (held.length >= 4) for (const answer of held.splice(0)) answer();
      else if (fixture.hub.requests.filter((seen) => seen.server === 'storage').length > 4)
        held.pop()!();
      return true;
    };
    await fixture.pull();
    await fixture.expectWhole();
    expect(most).toBe(4);
  });

  it('reports bytes that only grow, up to all of them', async () => {
    await using fixture = await HubFixture.open();
    const seen: PullProgress[] = [];
    await fixture.pull({ onProgress: (progress) => seen.push(progress) });
    const total = [...fixture.hub.files.values()].reduce((sum, { length }) => sum + length, 0);
    expect(seen.at(-1)).toMatchObject({ done: total, total });
    const done = seen.map((progress) => progress.done);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
  });

  it('fetches a file again that has gone', async () => {
    await using fixture = await HubFixture.open();
    await fixture.pull();
    await writeFile(join(fixture.folder, SHARD), 'cut');
    fixture.hub.requests.length = 0;
    await fixture.pull();
    expect(fixture.hub.downloads).toEqual([SHARD]);
    await fixture.expectWhole();
  });

  it('downloads nothing when the disk is too full', async () => {
    await using fixture = await HubFixture.open();
    const pulled = fixture.pull({ freeBytes: async () => 300_000 });
    await expect(pulled).rejects.toThrow(
      /too full for tests\/tiny-blip2: 495 kB are needed, 300 kB are free. HF_HUB_CACHE chooses another place/,
    );
    expect(fixture.hub.downloads).toEqual(['model.safetensors.index.json']);
  });

  it('says which file of the cache is in the way, and which setting chooses another place', async () => {
    await using fixture = await HubFixture.open();
    await mkdir(join(fixture.folder, 'config.json'), { recursive: true });
    await expect(fixture.pull()).rejects.toThrow(
      /config\.json cannot be \w+: it is a folder \(\w+\)\. .* HF_HUB_CACHE chooses another place\.$/,
    );
    await rm(join(fixture.cache, '.locks'), { recursive: true });
    await writeFile(join(fixture.cache, '.locks'), '');
    await expect(fixture.pull()).rejects.toThrow(
      /cannot be made: .*\.locks is a file\. HF_HUB_CACHE chooses another place\.$/,
    );
  });

  it('does not wait for a pipe that lies in the place of a file', async () => {
    await using fixture = await HubFixture.open();
    await mkdir(dirname(fixture.folder), { recursive: true });
    await mkdir(fixture.folder);
    spawnSync('mkfifo', [join(fixture.folder, 'config.json')]);
    await fixture.pull();
    await fixture.expectWhole();
  });

  it('ends the other downloads when one fails', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = ({ server, path }, response) => {
      if (server === 'hub') return false;
      // One is refused; the others would never end.
      if (path.endsWith(SHARD)) response.writeHead(403).end();
      else response.writeHead(200, { 'content-length': 1e6 }).write('begins');
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(/answered 403. 6 attempts in a row/);
  });
});

describe('a target folder', () => {
  it('gets the file itself in the place of a link to one elsewhere', async () => {
    await using fixture = await HubFixture.open();
    const out = join(fixture.cache, 'mine');
    const elsewhere = join(fixture.cache, 'elsewhere');
    await mkdir(out);
    await writeFile(elsewhere, fixture.hub.files.get('config.json') ?? '');
    await symlink(elsewhere, join(out, 'config.json'));
    await fixture.pull({ out });
    expect((await lstat(join(out, 'config.json'))).isFile()).toBe(true);
  });

  it('gets the files, and those that are right are not fetched again', async () => {
    await using fixture = await HubFixture.open();
    const out = join(fixture.cache, 'mine');
    expect(await fixture.pull({ out })).toBe(out);
    await fixture.expectWhole(out);

    fixture.hub.requests.length = 0;
    const size = fixture.hub.files.get('config.json')!.length;
    await writeFile(join(out, 'config.json'), 'x'.repeat(size));
    await fixture.pull({ out });
    expect(fixture.hub.downloads).toEqual(['config.json']);
    await fixture.expectWhole(out);
  });

  it('with the weights of another model is refused', async () => {
    await using fixture = await HubFixture.open();
    const out = join(fixture.cache, 'mine');
    await mkdir(out);
    await writeFile(join(out, 'model.safetensors'), '');
    await expect(fixture.pull({ out })).rejects.toThrow(/holds model.safetensors.*another model/);
  });
});

describe('two pulls of a model at once', () => {
  it('fetch each file once', async () => {
    await using fixture = await HubFixture.open();
    expect(await Promise.all([fixture.pull(), fixture.pull()])).toEqual([
      fixture.folder,
      fixture.folder,
    ]);
    await fixture.expectWhole();
    expect(fixture.hub.downloads.toSorted()).toEqual([...fixture.hub.files.keys()].sort());
  });

  it('do not wait for each other when one is a process that is gone', async () => {
    await using fixture = await HubFixture.open();
    const lock = join(fixture.cache, '.locks', basename(fixture.repository), `${COMMIT}.pull.lock`);
    await mkdir(dirname(lock), { recursive: true });
    await writeFile(lock, JSON.stringify({ host: hostname(), pid: 2 ** 30 }));
    await fixture.pull();
    expect(fixture.waits).toEqual([]);
    await fixture.expectWhole();
  });
});
