/** A small Worker with one binding of each kind, bundled and served as the edge is. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { portsOfChildren } from '../test/support/processes.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { buildWorker, type WorkerBundle } from './build-worker.ts';
import { type ServeOptions, serveWorker } from './serve-worker.ts';

const CONFIG = `
name = "small"
main = "worker.ts"
compatibility_date = "2026-08-04"
vars = { GREETING = "configured" }
kv_namespaces = [{ binding = "KV", id = "0" }]
r2_buckets = [{ binding = "BUCKET", bucket_name = "bucket" }]
triggers = { crons = ["0 * * * *"] }
durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }]
migrations = [{ tag = "1", new_sqlite_classes = ["Counter"] }]
rules = [{ type = "Text", globs = ["**/*.txt"] }]
`;

const WORKER = `
import { DurableObject } from 'cloudflare:workers';
import text from './text.txt';
import { temporaryFolder } from '../test/support/temporary-folder.ts';

export class Counter extends DurableObject {
  async next() {
    const count = ((await this.ctx.storage.get('count')) ?? 0) + 1;
    await this.ctx.storage.put('count', count);
    return count;
  }
}

export default {
  async fetch(request, env, context) {
    switch (new URL(request.url).pathname) {
      case '/text':
        return new Response(text);
      case '/greeting':
        return new Response(env.GREETING);
      case '/kv':
        if (request.method === 'PUT') await env.KV.put('a', request.body);
        return new Response(await env.KV.get('a'));
      case '/r2':
        if (request.method === 'PUT') await env.BUCKET.put('a', await request.arrayBuffer());
        return new Response((await env.BUCKET.get('a'))?.body);
      case '/counter':
        return Response.json(await env.COUNTER.getByName('one').next());
      case '/cache': {
        if (request.method === 'PUT') {
          const headers = { 'cache-control': 'max-age=60' };
          await caches.default.put('https://a.test', new Response('x', { headers }));
        }
        return new Response((await caches.default.match('https://a.test'))?.body);
      }
      case '/later':
        context.waitUntil(scheduler.wait(1).then(() => env.KV.put('b', 'later')));
        return new Response();
      case '/leave': {
        const { promise, resolve } = Promise.withResolvers();
        context.waitUntil(promise.then(() => env.KV.put('b', 'left')));
        const pull = async (controller) => {
          controller.enqueue(new TextEncoder().encode('.'));
          await scheduler.wait(1);
        };
        return new Response(new ReadableStream({ pull, cancel: resolve }));
      }
      case '/complain':
        console.error('a complaint');
        return new Response();
      case '/network': {
        const network = env.PUBLIC ?? globalThis;
        const reply = await network.fetch(await request.text()).catch(String);
        return new Response(reply.headers?.get('blip2-host-failure') ?? reply.body ?? reply);
      }
      case '/b':
        return new Response(await env.KV.get('b'));
      default:
        return new Response(null, { status: 404 });
    }
  },
  async scheduled({ cron }, env) {
    await env.KV.put('b', cron);
  },
};
`;

const folder = temporaryFolder();
const config = join(folder, 'wrangler.toml');
let bundle: WorkerBundle;

async function serve(options: Partial<ServeOptions> = {}) {
  const worker = await serveWorker(bundle, { config, ...options });
  const text = async (path: string, init?: RequestInit) =>
    (await fetch(`${worker.url}${path}`, init)).text();
  return { ...worker, text };
}
type Served = Awaited<ReturnType<typeof serve>>;

describe('a Worker', () => {
  let worker: Served;
  const others: Served[] = [];
  beforeAll(async () => {
    const entrypoint = join(folder, 'worker.ts');
    const text = join(folder, 'text.txt');
    await writeFile(config, CONFIG);
    await writeFile(entrypoint, WORKER);
    await writeFile(text, 'a text module');
    bundle = await buildWorker({ config, entrypoint, sources: [entrypoint, text] });
    worker = await serve();
  });
  afterAll(async () => {
    await Promise.all([worker, ...others].map(({ stop }) => stop()));
  });

  it('runs in the miniflare and workerd of the wrangler that bundles and deploys it', () => {
    const resolve = (from: string) => createRequire(from).resolve('miniflare');
    const here = import.meta.url;
    expect(resolve(here)).toBe(resolve(createRequire(here).resolve('wrangler')));
  });

  it('has the modules that were bundled and the variables of its configuration', async () => {
    expect(await worker.text('/text')).toBe('a text module');
    expect(await worker.text('/greeting')).toBe('configured');
  });

  it('finds again in its next run what it stored in KV, R2 and a Durable Object', async () => {
    const options = { persist: join(folder, 'state'), vars: { GREETING: 'given' } };
    const first = await serve(options);
    expect(await first.text('/greeting')).toBe('given');
    for (const path of ['/kv', '/r2']) await first.text(path, { method: 'PUT', body: 'stored' });
    expect(await first.text('/counter')).toBe('1');
    await first.stop();
    const second = await serve(options);
    others.push(second);
    expect(await second.text('/kv')).toBe('stored');
    expect(await second.text('/r2')).toBe('stored');
    expect(await second.text('/counter')).toBe('2');
    expect(await worker.text('/kv')).toBe('');
  });

  it('says nothing of a host that does not exist, of which the Worker knows', async () => {
    const { promise: complained, resolve } = Promise.withResolvers<void>();
    const lines: string[] = [];
    using _spy = vi.spyOn(console, 'error').mockImplementation((line) => {
      lines.push(String(line));
      if (lines.at(-1)?.includes('a complaint')) resolve();
    });
    const reply = await worker.text('/network', { method: 'POST', body: 'http://a.invalid/' });
    expect(reply).toMatch(/error/i);
    await worker.text('/complain');
    await complained;
    expect(lines).toHaveLength(1);
  });

  it('says once a second what clients make workerd say', async () => {
    const lines: string[] = [];
    using _spy = vi.spyOn(console, 'error').mockImplementation((line) => {
      lines.push(String(line));
    });
    const port = Number(new URL(worker.url).port);
    for (let i = 0; i < 50; i++) await rawRequest(port, 'CONNECT a.test:80', 'a.test:80');
    await worker.text('/complain');
    await expect.poll(() => lines.some((line) => line.includes('a complaint'))).toBe(true);
    const own = lines.filter((line) => /workerd\/api/.test(line));
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(10);
  });

  it('has a cache of its location', async () => {
    expect(await worker.text('/cache')).toBe('');
    expect(await worker.text('/cache', { method: 'PUT' })).toBe('x');
    expect(await worker.text('/cache')).toBe('x');
  });

  it('works on behind a reply', async () => {
    await worker.text('/later');
    await expect.poll(() => worker.text('/b')).toBe('later');
  });

  it('is notified of a client that goes away', async () => {
    const response = await fetch(`${worker.url}/leave`);
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await expect.poll(() => worker.text('/b')).toBe('left');
  });

  it('runs what a cron trigger runs', async () => {
    await worker.scheduled('0 * * * *');
    expect(await worker.text('/b')).toBe('0 * * * *');
  });

  it('reaches over a network to hosts no private address, whatever its name is, unless all are allowed', async () => {
    const server = createHttpServer((_, reply) => reply.end('private')).listen(0);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const restricted = await serve({
      networks: () => ({ PUBLIC: { allowPrivate: false } }),
      logLevel: 'none',
    });
    const own = await serve({
      networks: () => ({ PUBLIC: { allowPrivate: true } }),
      logLevel: 'none',
    });
    others.push(restricted, own);
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      const request = { method: 'POST', body: `http://${host}:${port}/` };
      expect(await worker.text('/network', request)).toBe('private');
      expect(await own.text('/network', request)).toBe('private');
      expect(await restricted.text('/network', request)).toBe('no-address');
    }
    server.close();
  });

  it.runIf(process.platform === 'linux')(
    'is served without the explorer of its storage on any port, whatever the Host is',
    async () => {
      await worker.text('/kv', { method: 'PUT', body: 'secret' });
      const ports = await portsOfChildren();
      expect(ports).toContain(Number(new URL(worker.url).port));
      const paths = ['/cdn-cgi/local/explorer', '/cdn-cgi/explorer'].flatMap((path) => [
        `${path}/`,
        `${path}/api/storage/kv/namespaces`,
        `${path}/api/storage/kv/namespaces/0/values/a`,
      ]);
      for (const port of ports) {
        for (const path of paths) {
          for (const host of ['localhost', `127.0.0.1:${port}`, 'evil.example']) {
            expect((await rawRequest(port, `GET ${path}`, host)).split(' ')[1]).toMatch(/^[45]/);
          }
        }
      }
    },
  );

  it('is served on the port that is asked for, or not at all', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await expect(serve({ port, logLevel: 'none' })).rejects.toThrow(/did not start.*in use/is);
    server.close();
    await once(server, 'close');
    const other = await serve({ port });
    others.push(other);
    expect(other.url).toBe(`http://127.0.0.1:${port}`);
  });
});

/** The first line of the reply: `fetch` sets no Host. */
async function rawRequest(port: number, line: string, host: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1').split('\r\n')[0] ?? '';
}
