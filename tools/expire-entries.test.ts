/** A small Worker with KV and a cache, served with storage that lasts. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { buildWorker, type WorkerBundle } from './build-worker.ts';
import { entryDatabases } from './entry-databases.ts';
import { type ServedWorker, serveWorker } from './serve-worker.ts';
import { sweepStorage } from './sweep-storage.ts';

const CONFIG = `
name = "small"
main = "worker.ts"
compatibility_date = "2026-08-04"
kv_namespaces = [{ binding = "KV", id = "0" }]
`;

const WORKER = `
const cached = (seconds) => new Response('x', { headers: { 'cache-control': 'max-age=' + seconds } });
export default {
  async fetch(request, { KV }) {
    if (request.method === 'PUT') {
      await KV.put('short', 'x', { expirationTtl: 60 });
      await KV.put('long', 'x', { expirationTtl: 86400 });
      await KV.put('forever', 'x');
      await caches.default.put('https://a.test/short', cached(1));
      await caches.default.put('https://a.test/long', cached(86400));
    }
    const left = await Promise.all(['short', 'long', 'forever'].map((key) => KV.get(key)));
    const hit = await caches.default.match('https://a.test/long');
    return Response.json([...left, (await hit?.text()) ?? null]);
  },
};
`;

const folder = temporaryFolder();
const persist = join(folder, 'state');
const config = join(folder, 'wrangler.toml');
const blobs = async (of: string) => (await readdir(join(persist, 'v3', of, 'blobs'))).length;
let bundle: WorkerBundle;
let worker: ServedWorker;

const ask = async (method = 'GET') =>
  (await (await fetch(worker.url, { method })).json()) as unknown;

beforeAll(async () => {
  const entrypoint = join(folder, 'worker.ts');
  await writeFile(config, CONFIG);
  await writeFile(entrypoint, WORKER);
  bundle = await buildWorker({ config, entrypoint, sources: [entrypoint] });
  worker = await serveWorker(bundle, { config, persist });
});
afterAll(() => worker.stop());

it('expired entries of KV and cache go with their blobs while the Worker serves', async () => {
  expect(await ask('PUT')).toEqual(['x', 'x', 'x', 'x']);
  // KV has no shorter one than a minute.
  for await (const database of entryDatabases(join(persist, 'v3/kv'), { timeout: 1000 })) {
    database.exec("UPDATE _mf_entries SET expiration = 1 WHERE key = 'short'");
  }
  await expect.poll(() => blobs('kv/0'), { timeout: 20_000 }).toBe(2);
  await expect.poll(() => blobs('cache/default'), { timeout: 20_000 }).toBe(1);
  expect(await ask()).toEqual([null, 'x', 'x', 'x']);
}, 60_000);

it('they go between two runs, and what has not expired is found again', async () => {
  await ask('PUT');
  await worker.stop();
  const now = Date.now() + 3_600_000;
  const ignore = () => {};
  const swept = await sweepStorage(persist, { report: ignore, progress: ignore, now });
  expect(swept).toEqual({ rows: 2, files: expect.any(Number) });
  expect(await blobs('kv/0')).toBe(2);
  expect(await blobs('cache/default')).toBe(1);
  worker = await serveWorker(bundle, { config, persist });
  expect(await ask()).toEqual([null, 'x', 'x', 'x']);
}, 60_000);
