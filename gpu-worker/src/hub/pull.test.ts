import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PullProgress } from './progress.ts';
import { COMMIT, MODEL } from './testing/hub-server.ts';
import { Workplace } from './testing/workplace.ts';

const SHARD = 'model-00001-of-00005.safetensors';

describe('pulling a model', () => {
  it('brings every file a bundle needs, and a second time fetches nothing', async () => {
    await using place = await Workplace.open();
    expect(await place.pull()).toBe(place.folder);
    await place.expectWhole();
    const files = place.hub.seen.filter(({ path }) => !path.startsWith('/api/'));
    expect(new Set(files.map(({ encoding }) => encoding))).toEqual(new Set(['identity']));

    place.hub.seen.length = 0;
    expect(await place.pull()).toBe(place.folder);
    expect(place.hub.downloads).toEqual([]);
  });

  it('leaves out what no bundle needs', async () => {
    await using place = await Workplace.open();
    for (const name of ['pytorch_model.bin', 'tf_model.h5', 'training_args.json', 'demo.png']) {
      place.hub.files.set(name, Buffer.from(name));
    }
    await place.pull();
    for (const name of ['pytorch_model.bin', 'tf_model.h5', 'training_args.json', 'demo.png']) {
      expect(place.hub.files.delete(name)).toBe(true);
    }
    await place.expectWhole();
  });

  it('asks for one commit only, whatever the branch does meanwhile', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = ({ path }) => {
      if (path.includes('/tree/')) place.hub.revisions.set('main', 'd'.repeat(40));
      return false;
    };
    await place.pull();
    await place.expectWhole();
    const paths = place.hub.seen.filter(({ server }) => server === 'hub').map(({ path }) => path);
    expect(paths[0]).toBe(`/api/models/${MODEL}/revision/main`);
    expect(paths.slice(1).every((path) => path.includes(`/${COMMIT}`))).toBe(true);
  });

  it.each(['v1.0', 'refs/pr/3'])('takes the revision %s', async (revision) => {
    await using place = await Workplace.open();
    place.hub.revisions.clear();
    place.hub.revisions.set(revision, COMMIT);
    await place.pull({}, `${MODEL}@${revision}`);
    await place.expectWhole();
  });

  it('has four files on the way at a time', async () => {
    await using place = await Workplace.open();
    const held: (() => void)[] = [];
    let running = 0;
    let most = 0;
    place.hub.intercept = ({ server }, response, bytes) => {
      if (server === 'hub') return false;
      running += 1;
      most = Math.max(most, running);
      response.once('finish', () => {
        running -= 1;
      });
      held.push(() => response.end(bytes));
      // The first four are answered only when all four are there.
      if (held.length >= 4) for (const answer of held.splice(0)) answer();
      else if (place.hub.seen.filter((seen) => seen.server === 'storage').length > 4) held.pop()!();
      return true;
    };
    await place.pull();
    await place.expectWhole();
    expect(most).toBe(4);
  });

  it('reports bytes that only grow, up to all of them', async () => {
    await using place = await Workplace.open();
    const seen: PullProgress[] = [];
    await place.pull({ onProgress: (progress) => seen.push(progress) });
    const total = [...place.hub.files.values()].reduce((sum, { length }) => sum + length, 0);
    expect(seen.at(-1)).toMatchObject({ done: total, total });
    const done = seen.map((progress) => progress.done);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
  });

  it('fetches a file again that has gone', async () => {
    await using place = await Workplace.open();
    await place.pull();
    await writeFile(join(place.folder, SHARD), 'cut');
    place.hub.seen.length = 0;
    await place.pull();
    expect(place.hub.downloads).toEqual([SHARD]);
    await place.expectWhole();
  });

  it('begins nothing when the disk has no room', async () => {
    await using place = await Workplace.open();
    const pulled = place.pull({ freeBytes: async () => 300_000 });
    await expect(pulled).rejects.toThrow(
      /too full for tests\/tiny-blip2: 495 kB are needed, 300 kB are free. BLIP2_MODELS/,
    );
    expect(place.hub.downloads).toEqual(['model.safetensors.index.json']);
  });

  it('ends the other downloads when one fails', async () => {
    await using place = await Workplace.open();
    place.hub.intercept = ({ server, path }, response) => {
      if (server === 'hub') return false;
      // One is refused; the others would never end.
      if (path.endsWith(SHARD)) response.writeHead(403).end();
      else response.writeHead(200, { 'content-length': 1e6 }).write('begins');
      return true;
    };
    await expect(place.pull()).rejects.toThrow(/answered 403. 6 attempts in a row/);
  });
});

describe('a target folder', () => {
  it('gets the files, and keeps those that are right', async () => {
    await using place = await Workplace.open();
    const out = join(place.models, 'mine');
    expect(await place.pull({ out })).toBe(out);
    await place.expectWhole(out);

    place.hub.seen.length = 0;
    const size = place.hub.files.get('config.json')!.length;
    await writeFile(join(out, 'config.json'), 'x'.repeat(size));
    await place.pull({ out });
    expect(place.hub.downloads).toEqual(['config.json']);
    await place.expectWhole(out);
  });

  it('with the weights of another model is refused', async () => {
    await using place = await Workplace.open();
    const out = join(place.models, 'mine');
    await mkdir(out);
    await writeFile(join(out, 'model.safetensors'), '');
    await expect(place.pull({ out })).rejects.toThrow(/holds model.safetensors.*another model/);
  });
});

describe('two pulls of a model at once', () => {
  it('fetch each file once', async () => {
    await using place = await Workplace.open();
    expect(await Promise.all([place.pull(), place.pull()])).toEqual([place.folder, place.folder]);
    await place.expectWhole();
    expect(place.hub.downloads.toSorted()).toEqual([...place.hub.files.keys()].sort());
  });

  it.each([
    ['a process that is gone', { host: hostname(), pid: 2 ** 30 }, 0],
    ['another machine that has been silent', { host: 'elsewhere', pid: 1 }, 60_000],
  ])('are one when the other is %s', async (_name, owner, ageMs) => {
    await using place = await Workplace.open();
    const lock = join(place.folder, '.pull.lock');
    await mkdir(place.folder, { recursive: true });
    await writeFile(lock, JSON.stringify(owner));
    const touched = new Date(Date.now() - ageMs);
    await utimes(lock, touched, touched);
    await place.pull();
    expect(place.waits).toEqual([]);
    await place.expectWhole();
  });
});

describe('offline', () => {
  it('is what was pulled before, without a request', async () => {
    await using place = await Workplace.open();
    await place.pull();
    place.hub.seen.length = 0;
    place.settings.offline = true;
    expect(await place.pull()).toBe(place.folder);
    expect(place.hub.seen).toEqual([]);
  });

  it('is refused for what was never pulled to its end', async () => {
    await using place = await Workplace.open();
    await expect(place.pull({ freeBytes: async () => 0 })).rejects.toThrow(/too full/);
    expect(await readdir(place.folder)).toEqual(['model.safetensors.index.json']);
    place.settings.offline = true;
    await expect(place.pull()).rejects.toThrow(
      /HF_HUB_OFFLINE is set, and tests\/tiny-blip2 at main/,
    );
  });
});
