/** Part mode: a part that is killed goes on where it was, and its output is that of a part that was not. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBucket, type TestBucket } from '../support/s3-bucket.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCENES = join(ROOT, 'test/scenes');
const CAPTION = 'a pizza above an octopus on a gray background';

const folder = temporaryFolder();
let lines: string[];
beforeAll(async () => {
  const files = (await readdir(SCENES)).filter((name) => name.endsWith('.webp')).slice(0, 24);
  await mkdir(join(folder, 'images'));
  for (const name of files) await copyFile(join(SCENES, name), join(folder, 'images', name));
  await copyFile(join(SCENES, 'pair-noto-00.webp'), join(folder, 'images/first.webp'));
  await writeFile(join(folder, 'images/none.webp'), 'no image');
  lines = [
    JSON.stringify({ id: 'first', image: { path: 'images/first.webp' } }),
    JSON.stringify({ image: 'images/first.webp', prompt: 'a pizza above', max_tokens: 3 }),
    'images/none.webp',
    'images/nowhere.webp',
    '{"image": ',
    JSON.stringify({ id: 'wrong', image: 'images/first.webp', max_tokens: 0 }),
    ...files.map((name) => `images/${name}`),
  ];
  await writeFile(join(folder, 'manifest.jsonl'), `${lines.join('\n')}\n`);
});

type Env = Record<string, string>;
/** Many processes start here, one after the other. */
const FEW: Env = { BLIP2_THREADS: '1', BLIP2_DECODE_PROCESSES: '1', BLIP2_MAX_SLOTS: '2' };
const PATIENCE_MS = 600_000;
const start = (args: readonly string[], env: Env = {}) =>
  spawn(
    process.execPath,
    [join(ROOT, 'gpu-worker/src/part.ts'), '--manifest', 'manifest.jsonl', ...args],
    { cwd: folder, env: { ...process.env, ...FEW, ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
  );

async function endOf(child: ChildProcess) {
  const errors = text(child.stderr!);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, errors: await errors };
}

const run = async (args: readonly string[], env?: Env) => await endOf(start(args, env));

/** Kills the part as soon as so many lines of it are safe. */
async function killedAt(
  count: number,
  args: readonly string[],
  safe: () => Promise<number>,
  env?: Env,
) {
  const child = start(args, env);
  const ended = endOf(child);
  await expect.poll(safe, { timeout: 300_000, interval: 5 }).toBeGreaterThanOrEqual(count);
  child.kill('SIGKILL');
  expect(await ended).toMatchObject({ signal: 'SIGKILL' });
}

/** How many lines of the only part in a folder are safe. */
const safeIn = (output: string) => async () => {
  const names = await readdir(join(folder, output)).catch(() => []);
  const partial = names.find((name) => name.endsWith('.partial'));
  if (partial === undefined) return 0;
  return (await readFile(join(folder, output, partial), 'utf8')).split('\n').length - 1;
};

/** A few at a time, so that there is something to kill. */
const SLOW = ['--checkpoint-items', '2', '--part', '0'];

describe('a part in a folder', { timeout: PATIENCE_MS }, () => {
  it('is the same after two kills, and is done once', async () => {
    expect(await run(['--part', '0', '--output', 'whole'])).toMatchObject({ code: 0 });
    const whole = await readFile(join(folder, 'whole/part-00000.jsonl'), 'utf8');
    const results = whole
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results).toHaveLength(lines.length);
    expect(results.slice(0, 6)).toMatchObject([
      { id: 'first', cursor: '0:0', status: 200, result: { caption: CAPTION }, error: null },
      { id: '1', status: 200, result: { finish_reason: 'length' } },
      { id: 'images/none.webp', status: 400, error: { code: 'invalid-image' } },
      { id: 'images/nowhere.webp', error: { code: 'no-image' } },
      { id: '4', error: { code: 'invalid-request' } },
      { id: 'wrong', error: { message: expect.stringContaining('max_tokens') } },
    ]);
    const args = [...SLOW, '--output', 'killed'];
    const safe = safeIn('killed');
    await killedAt(6, args, safe);
    // As if it had been killed while it wrote.
    const [partial = ''] = (await readdir(join(folder, 'killed'))).filter((n) =>
      n.endsWith('.partial'),
    );
    await writeFile(join(folder, 'killed', partial), '{"id": "tor', { flag: 'a' });
    await killedAt((await safe()) + 6, args, safe);
    const last = await run(args);
    expect(last.code).toBe(0);
    expect(last.errors).toMatch(/\d+ lines, \d+ of them now/);
    expect(await readFile(join(folder, 'killed/part-00000.jsonl'), 'utf8')).toBe(whole);
    expect(await readdir(join(folder, 'killed'))).toEqual(['part-00000.jsonl']);
    const again = await run(args);
    expect(again).toMatchObject({ code: 0, errors: 'Part 0 is there already.\n' });
  });

  it('has the embeddings of its images, as values in base64, and is the same after a kill', async () => {
    const task = ['--task', 'embeddings', '--settings', '{"kind": "itc"}'];
    const read = async (output: string) =>
      await readFile(join(folder, output, 'part-00000.jsonl'), 'utf8');
    expect(await run([...task, '--part', '0', '--output', 'vectors'])).toMatchObject({ code: 0 });
    const whole = await read('vectors');
    const results = whole
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results).toHaveLength(lines.length);
    // The second has a prompt, which embeddings have not.
    expect(results[1]).toMatchObject({ status: 400, error: { code: 'invalid-request' } });
    const { embeddings, dtype, shape, kind, image } = results[0].result;
    expect({ dtype, kind, image }).toMatchObject({ dtype: 'float32', kind: 'itc', image: {} });
    const bytes = Buffer.from(embeddings, 'base64');
    const values = new Float32Array(new Uint8Array(bytes).buffer);
    const [queries, width] = shape as [number, number];
    expect(values).toHaveLength(queries * width);
    for (let query = 0; query < queries; query++) {
      const vector = values.subarray(query * width, (query + 1) * width);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 3);
    }
    const args = [...task, ...SLOW, '--output', 'killed-vectors'];
    await killedAt(6, args, safeIn('killed-vectors'));
    expect(await run(args)).toMatchObject({ code: 0 });
    expect(await read('killed-vectors')).toBe(whole);
  });

  it('has its own lines, by the variables of who starts many', async () => {
    const args = ['--part-items', '25', '--output', 'parts', '--task', 'answer'];
    const settings = ['--settings', '{"question": "what color is the background?"}'];
    const env = { JOB_COMPLETION_INDEX: '1' };
    expect(await run([...args, ...settings], env)).toMatchObject({ code: 0 });
    const text = await readFile(join(folder, 'parts/part-00001.jsonl'), 'utf8');
    const ids = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(ids.map(({ id }) => id)).toEqual(lines.slice(25));
    expect(ids[0]).toMatchObject({ cursor: '1:0', result: { answer: expect.any(String) } });
  });
});

describe('a part in a bucket', { timeout: PATIENCE_MS }, () => {
  let place: TestBucket;
  let env: Env;
  beforeAll(async () => {
    place = await startBucket();
    env = place.env;
  });
  afterAll(() => place?.stop());

  const put = async (name: string, Body: string | Buffer) => {
    const { bucket: Bucket, prefix, client } = place;
    await client.send(new PutObjectCommand({ Bucket, Key: prefix + name, Body }));
  };
  const read = async (name: string) => {
    const { bucket: Bucket, prefix, client } = place;
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: prefix + name }));
    return (await Body?.transformToString()) ?? '';
  };
  const at = (name: string) => `s3://${place.bucket}/${place.prefix}${name}`;

  it('is the same after two kills, with images and manifest of the bucket, and put once', async () => {
    for (const name of ['first.webp', 'none.webp']) {
      await put(`images/${name}`, await readFile(join(folder, 'images', name)));
    }
    const manifest = Array.from({ length: 40 }, (_, i) => ({
      id: `image ${i}`,
      image: at(`images/${['first', 'none', 'nowhere'][i % 3]}.webp`),
    }));
    await put('manifest-00000.jsonl', manifest.map((line) => JSON.stringify(line)).join('\n'));
    const from = ['--manifest', at('manifest-{part}.jsonl')];
    expect(await run([...from, '--part', '0', '--output', at('whole')], env)).toMatchObject({
      code: 0,
    });
    const whole = await read('whole/part-00000.jsonl');
    const results = whole
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ status }) => status)).toEqual(
      manifest.map((_, i) => [200, 400, 400][i % 3]),
    );
    expect(results[0]).toMatchObject({ id: 'image 0', result: { caption: CAPTION } });
    const args = [...from, ...SLOW, '--output', at('killed/')];
    const safe = async () =>
      2 * (await place.keys()).filter((one) => one.startsWith('killed/checkpoints/')).length;
    await killedAt(4, args, safe, env);
    await killedAt((await safe()) + 4, args, safe, env);
    expect(await run(args, env)).toMatchObject({ code: 0 });
    expect(await read('killed/part-00000.jsonl')).toBe(whole);
    expect((await place.keys()).filter((one) => one.startsWith('killed/'))).toEqual([
      'killed/part-00000.jsonl',
    ]);
    const again = await run(args, env);
    expect(again).toMatchObject({ code: 0, errors: 'Part 0 is there already.\n' });
  });
});
