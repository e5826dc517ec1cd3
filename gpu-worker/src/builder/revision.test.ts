/** The revision names a checkpoint by what it computes: its weights and its config. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpointRevision, sha256OfFile } from './revision.ts';

let root: string;
let checkpoint: string;
let cache: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-revision-'));
  checkpoint = join(root, 'checkpoint');
  cache = join(root, 'cache');
  await mkdir(checkpoint);
  await write('config.json', '{"model_type":"blip-2"}');
  await write('model.safetensors', 'weights');
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Each write has a time of its own: what is cached by time must not be found again. */
let time = 1;
async function write(name: string, content: string, folder = checkpoint): Promise<void> {
  await writeFile(join(folder, name), content);
  await utimes(join(folder, name), time, time++);
}

/** Of config and weights, as they are opened for a plain checkpoint. */
const revision = (folder = checkpoint, weights = ['model.safetensors']) => {
  const inputs = ['config.json', ...weights].map((label) => ({ label, path: join(folder, label) }));
  return checkpointRevision(inputs, cache);
};
const sha256 = (content: string) => createHash('sha256').update(content).digest('hex');

it('is the digest of the names and digests of config and weights', async () => {
  const files = [
    `config.json ${sha256('{"model_type":"blip-2"}')}\n`,
    `model.safetensors ${sha256('weights')}\n`,
  ];
  expect(await revision()).toBe(sha256(files.join('')));
});

it.each([
  ['a byte of the weights', 'model.safetensors', 'Weights'],
  ['a value of the config', 'config.json', '{"model_type":"blip-3"}'],
])('changes with %s', async (_, name, content) => {
  const before = await revision();
  await write(name, content);
  expect(await revision()).not.toBe(before);
});

it('stays the same whatever tokenizer, model card and generation config are', async () => {
  const before = await revision();
  for (const name of ['tokenizer.json', 'README.md', 'generation_config.json']) {
    await write(name, '{}');
  }
  expect(await revision()).toBe(before);
});

it('is the same in another folder', async () => {
  const before = await revision();
  await rename(checkpoint, join(root, 'moved'));
  expect(await revision(join(root, 'moved'))).toBe(before);
});

it('covers every shard', async () => {
  const shards = ['model-1.safetensors', 'model-2.safetensors'];
  await write('model-1.safetensors', 'one');
  await write('model-2.safetensors', 'two');
  const before = await revision(checkpoint, shards);
  await write('model-2.safetensors', 'TWO');
  expect(await revision(checkpoint, shards)).not.toBe(before);
});

it('covers what was derived instead of read, under its name', async () => {
  const derived = (label: string, text: string) => checkpointRevision([{ label, text }], cache);
  const before = await derived('config.json', '{}');
  expect(before).toBe(sha256(`config.json ${sha256('{}')}\n`));
  expect(await derived('config.json', '{"a":1}')).not.toBe(before);
  expect(await derived('lavis.json', '{}')).not.toBe(before);
});

it('reads the weights once, while path, size and time stay the same', async () => {
  const before = await revision();
  const [entry] = await readdir(cache);
  expect(await readFile(join(cache, entry!), 'utf8')).toBe(before);
  await writeFile(join(cache, entry!), sha256('another'));
  expect(await revision()).toBe(sha256('another'));
});

it('hashes again when what is cached is damaged', async () => {
  const before = await revision();
  const [entry] = await readdir(cache);
  await writeFile(join(cache, entry!), before.slice(0, 10));
  expect(await revision()).toBe(before);
});

it('hashes a file in chunks as a whole', async () => {
  await write('large', 'x'.repeat((1 << 20) + 1));
  expect(await sha256OfFile(join(checkpoint, 'large'))).toBe(sha256('x'.repeat((1 << 20) + 1)));
});
