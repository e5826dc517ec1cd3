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

const revision = () => checkpointRevision(checkpoint, cache);
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
  expect(await checkpointRevision(join(root, 'moved'), cache)).toBe(before);
});

it('covers every shard, in the order of their names, however the index lists them', async () => {
  await rm(join(checkpoint, 'model.safetensors'));
  await write('model-1.safetensors', 'one');
  await write('model-2.safetensors', 'two');
  const index = (shards: string[]) => {
    const weight_map = Object.fromEntries(shards.map((shard, i) => [`tensor.${i}`, shard]));
    return write('model.safetensors.index.json', JSON.stringify({ weight_map }));
  };
  await index(['model-1.safetensors', 'model-2.safetensors', 'model-1.safetensors']);
  const before = await revision();
  await index(['model-2.safetensors', 'model-1.safetensors']);
  expect(await revision()).toBe(before);
  await write('model-2.safetensors', 'TWO');
  expect(await revision()).not.toBe(before);
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

it('is refused without weights', async () => {
  await rm(join(checkpoint, 'model.safetensors'));
  await expect(revision()).rejects.toThrow('neither model.safetensors nor');
});

it('hashes a file in chunks as a whole', async () => {
  await write('large', 'x'.repeat((1 << 20) + 1));
  expect(await sha256OfFile(join(checkpoint, 'large'))).toBe(sha256('x'.repeat((1 << 20) + 1)));
});
