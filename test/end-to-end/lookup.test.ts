/** Bulk look-ups as their readers see them: NumPy's and safetensors' own where Python has them, else Python's standard library. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testImages } from '../support/test-images.ts';

const run = promisify(execFile);
const folder = temporaryFolder();
const ABSENT = '0'.repeat(64);
let stack: Stack;
let ids: string[];

const ofTraining = join(ROOT, '.venv-training/bin/python');
const python = existsSync(ofTraining) ? ofTraining : 'python3';
const has = (modules: string) =>
  run(python, ['-c', `import ${modules}`]).then(
    () => true,
    () => false,
  );
const [hasPython, hasReaders] = await Promise.all([has('zipfile'), has('numpy, safetensors')]);

const post = (path: string, body: Uint8Array | string, headers: Record<string, string> = {}) =>
  fetch(`${stack.url}${path}`, { method: 'POST', headers, body: body as string });

beforeAll(async () => {
  const [started, images] = await Promise.all([startStack({ jobs: true }), testImages(40)]);
  stack = started;
  ids = images.map(({ sha256 }) => sha256);
  for (const { bytes } of images) {
    expect((await post('/v1/embeddings', bytes, { 'content-type': 'image/webp' })).status).toBe(
      200,
    );
  }
});
afterAll(() => stack?.stop());

async function save(accept: string, dtype?: string): Promise<{ path: string; reply: Response }> {
  const sha256 = [ABSENT, ...ids];
  const body = JSON.stringify({ sha256, dtype });
  const reply = await post('/v1/embeddings/lookup', body, { accept });
  expect(reply.status).toBe(200);
  const path = join(folder, `${dtype}.${accept.split('x-')[1]}`);
  await writeFile(path, new Uint8Array(await reply.arrayBuffer()));
  return { path, reply };
}

/** The sum of all values of an image, as the look-up of one has them. */
async function sumOf(id: string): Promise<number> {
  const reply = await fetch(`${stack.url}/v1/embeddings/${id}`);
  const { embeddings } = (await reply.json()) as { embeddings: number[][] };
  return embeddings.flat().reduce((sum, value) => sum + value, 0);
}

it.runIf(hasPython)('is an archive that Python’s zipfile finds whole', async () => {
  const { path } = await save('application/x-npz');
  const code = `import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(len(archive.namelist()), archive.namelist()[-1])`;
  expect((await run(python, ['-c', code, path])).stdout.trim()).toBe(
    `${ids.length + 1} missing.npy`,
  );
});

it('says how long a file of safetensors is', async () => {
  const { reply } = await save('application/x-safetensors', 'float16');
  expect(Number(reply.headers.get('content-length'))).toBeGreaterThan(40 * 32 * 192 * 2);
});

it.runIf(hasReaders).each(['float32', 'float16', undefined])(
  'is read by NumPy and safetensors in %s',
  async (dtype) => {
    const [npz, safetensors] = [
      await save('application/x-npz', dtype),
      await save('application/x-safetensors', dtype),
    ];
    const code = `import json, sys, numpy, safetensors, safetensors.numpy
npz = numpy.load(sys.argv[1], allow_pickle=False)
tensors = safetensors.numpy.load_file(sys.argv[2])
with safetensors.safe_open(sys.argv[2], 'np') as file:
    metadata = file.metadata()
assert list(npz['missing']) == json.loads(metadata['missing']) == ['0' * 64]
assert set(npz.files) - {'missing'} == set(tensors)
assert all(numpy.array_equal(npz[name], tensors[name]) for name in tensors)
first = tensors[sys.argv[3]]
print(json.dumps([len(tensors), str(first.dtype), first.shape, float(first.astype('float64').sum())]))`;
    const args = ['-c', code, npz.path, safetensors.path, ids[0] as string];
    const [count, type, shape, sum] = JSON.parse((await run(python, args)).stdout);
    expect([count, type, shape]).toEqual([ids.length, dtype ?? 'float32', [32, 192]]);
    expect(sum).toBeCloseTo(await sumOf(ids[0] as string), dtype === 'float16' ? 0 : 5);
  },
);

it('thousands of reads leave the others their turn: who asks for one thing gets it first', async () => {
  const hash = () =>
    Array.from({ length: 64 }, () => Math.floor(16 * Math.random()).toString(16)).join('');
  const hashes = (count: number) => Array.from({ length: count }, hash);
  const type = { 'content-type': 'application/json' };
  let ended = 0;
  const all = [
    ...Array.from({ length: 15 }, () => {
      const items = hashes(100).map((image) => ({ image }));
      return post('/v1/jobs', JSON.stringify({ task: 'caption', dry_run: true, items }), type);
    }),
    ...Array.from({ length: 15 }, () =>
      post('/v1/embeddings/lookup', JSON.stringify({ sha256: hashes(300) }), {
        ...type,
        accept: 'application/x-ndjson',
      }),
    ),
  ].map(async (asked) => {
    const reply = await asked;
    await reply.arrayBuffer();
    ended += 1;
    return reply.status;
  });
  let answers = 0;
  while (ended < all.length) {
    const models = await fetch(`${stack.url}/v1/models`);
    await models.arrayBuffer();
    answers += 1;
  }
  const statuses = await Promise.all(all);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(answers).toBeGreaterThan(all.length);
});
