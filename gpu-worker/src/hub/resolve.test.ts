import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, stat, watch } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ensureBundle, readManifest } from '../builder/index.ts';
import { resolveCheckpoint } from './resolve.ts';
import { CHECKPOINT, HubFixture } from './testing/hub-fixture.ts';
import { MODEL } from './testing/hub-server.ts';

const program = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

function run({ hub, cache }: HubFixture, name: string, args: string[], env = {}) {
  return spawn(process.execPath, [program(name), ...args], {
    env: {
      ...process.env,
      HF_ENDPOINT: hub.endpoint,
      HF_HUB_CACHE: cache,
      BLIP2_BUNDLES: join(cache, 'bundles'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

describe('a checkpoint', () => {
  it('that is a file of weights is that file', async () => {
    await using fixture = await HubFixture.open();
    const file = join(CHECKPOINT, 'model-00001-of-00005.safetensors');
    expect(await resolveCheckpoint(file, fixture.options)).toBe(file);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('that is a folder is that folder', async () => {
    await using fixture = await HubFixture.open();
    const { options } = fixture;
    expect(await resolveCheckpoint(CHECKPOINT, options)).toBe(CHECKPOINT);
    expect(fixture.hub.requests).toEqual([]);
  });

  it('that is a model is pulled once, and stays what it was until it is pulled again', async () => {
    await using fixture = await HubFixture.open();
    const { options } = fixture;
    expect(await resolveCheckpoint(MODEL, options)).toBe(fixture.folder);
    await fixture.expectWhole();
    fixture.hub.requests.length = 0;
    expect(await resolveCheckpoint(MODEL, options)).toBe(fixture.folder);
    expect(fixture.hub.requests).toEqual([]);
  });

  it.each([
    ['/nowhere', 'There is no folder or file /nowhere.'],
    [`/${'n'.repeat(300)}`, 'cannot be looked at: its name is too long (ENAMETOOLONG). Choose'],
    ['./nowhere/else', 'There is no folder or file '],
    ['nowhere', '"nowhere" names no model'],
    ['tests/nothing', 'There is no folder or file '],
  ])('that is neither is refused: %s', async (name, message) => {
    await using fixture = await HubFixture.open();
    const { options } = fixture;
    await expect(resolveCheckpoint(name, options)).rejects.toThrow(message);
  });

  it('makes the same bundle pulled as it does from its folder', async () => {
    await using fixture = await HubFixture.open();
    const { options, cache } = fixture;
    const original = join(cache, 'tiny-blip2');
    await cp(CHECKPOINT, original, { recursive: true });
    const pulled = await resolveCheckpoint(MODEL, options);
    const [ours, theirs] = await Promise.all([
      ensureBundle(pulled, { bundles: join(cache, 'of-the-hub') }),
      ensureBundle(original, { bundles: join(cache, 'of-the-folder') }),
    ]);
    expect(await readManifest(ours)).toEqual(await readManifest(theirs));
    for (const file of await readdir(theirs)) {
      expect((await readFile(join(ours, file))).equals(await readFile(join(theirs, file)))).toBe(
        true,
      );
    }
  });
});

describe('the programs', () => {
  it('pull prints the folder, and how far it is by tenths', async () => {
    await using fixture = await HubFixture.open();
    const child = run(fixture, 'cli/model.ts', ['pull', MODEL]);
    const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect(out).toBe(`${fixture.folder}\n`);
    const lines = errors.trim().split('\n');
    expect(lines.length).toBeLessThanOrEqual(11);
    expect(lines.at(-1)).toMatch(/^Downloading tests\/tiny-blip2: 100 % 513 kB of 513 kB/);
    await fixture.expectWhole();
  });

  it('pull that is stopped resumes where it was', async () => {
    await using fixture = await HubFixture.open();
    const shard = 'model-00003-of-00005.safetensors';
    let isHeld = true;
    fixture.hub.intercept = ({ server, path }, response, bytes) => {
      if (!isHeld || server === 'hub' || !path.endsWith(shard)) return false;
      response.writeHead(200, { 'content-length': bytes!.length });
      response.write(bytes!.subarray(0, 40_000));
      return true;
    };
    const blobs = join(fixture.repository, 'blobs');
    await mkdir(blobs, { recursive: true });
    const changes = watch(blobs);
    const child = run(fixture, 'cli/model.ts', ['pull', MODEL]);
    for await (const { filename, eventType } of changes) {
      if (filename === basename(fixture.partialOf(shard)) && eventType === 'change') break;
    }
    child.kill('SIGINT');
    await once(child, 'exit');
    isHeld = false;
    const { size } = await stat(fixture.partialOf(shard));
    expect(size).toBeGreaterThan(0);

    fixture.hub.requests.length = 0;
    await fixture.pull();
    const asked = fixture.hub.requests.filter(({ path }) => path.endsWith(shard));
    expect(asked.map(({ range }) => range)).toEqual([`bytes=${size}-`, `bytes=${size}-`]);
    await fixture.expectWhole();
  });

  it('info pulls and builds first', async () => {
    await using fixture = await HubFixture.open();
    const child = run(fixture, 'cli/model.ts', ['info', MODEL]);
    expect(await text(child.stdout)).toMatch(/name +\S*tiny-blip2/);
  });

  it('the GPU worker serves a model of a hub', async () => {
    await using fixture = await HubFixture.open();
    const child = run(fixture, 'main.ts', [], { BLIP2_CHECKPOINT: MODEL, BLIP2_WORKER_PORT: '0' });
    let isReady = false;
    for await (const line of createInterface(child.stderr)) {
      if (JSON.parse(line).event !== 'ready') continue;
      isReady = true;
      child.kill('SIGTERM');
    }
    expect(isReady).toBe(true);
    await fixture.expectWhole();
  });

  it('say in one line what is wrong', async () => {
    await using fixture = await HubFixture.open();
    const child = run(fixture, 'cli/model.ts', ['pull', 'tests/nothing']);
    const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect(code).toBe(1);
    expect(errors).toContain('There is no model tests/nothing');
    expect(errors.trim().split('\n')).toHaveLength(1);
  });
});
