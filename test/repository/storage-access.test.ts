/** Whoever reaches this machine's ports, and signs nothing, neither reads nor writes the storage of a Worker that is served. */
import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { freePort } from '@blip2/gpu-worker/check-port';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildWorker } from '../../tools/build-worker.ts';
import { EXPIRING_WORKER } from '../../tools/expire-entries.ts';
import { S3_PATH, type ServedWorker, serveWorker } from '../../tools/serve-worker.ts';
import { portsOfChildren } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CONFIG = `
name = "small"
main = "worker.ts"
compatibility_date = "2026-08-04"
kv_namespaces = [{ binding = "KV", id = "0" }]
r2_buckets = [{ binding = "BUCKET", bucket_name = "bucket" }]
`;
const WORKER = `
export default {
  async fetch(request, { KV, BUCKET }) {
    if (new URL(request.url).pathname !== '/') return new Response(null, { status: 404 });
    if (request.method === 'PUT') {
      await Promise.all([KV.put('a', 'stored'), BUCKET.put('a', 'stored')]);
    }
    const { keys } = await KV.list();
    const { objects } = await BUCKET.list();
    const values = [await KV.get('a'), await (await BUCKET.get('a'))?.text()];
    return Response.json([keys.length, objects.length, ...values]);
  },
};
`;
const METHODS = ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'];
const STORED = [1, 1, 'stored', 'stored'];
const LOOPBACK = '127.0.0.1';

const folder = temporaryFolder();
const owner = { accessKeyId: 'an owner', secretAccessKey: 'a secret' };
let worker: ServedWorker;
let port: number;

beforeAll(async () => {
  const [config, entrypoint] = [join(folder, 'wrangler.toml'), join(folder, 'worker.ts')];
  await writeFile(config, CONFIG);
  await writeFile(entrypoint, WORKER);
  const bundle = await buildWorker({ config, entrypoint, sources: [entrypoint] });
  const variables = { host: 'HOST', port: 'PORT' };
  port = await freePort({ host: LOOPBACK, port: 0 }, { variables });
  const persist = join(folder, 'state');
  worker = await serveWorker(bundle, { config, persist, s3: { port, ...owner }, logLevel: 'none' });
  expect(await read('PUT')).toEqual(STORED);
});
afterAll(() => worker?.stop());

async function read(method = 'GET'): Promise<unknown> {
  return await (await fetch(worker.url, { method })).json();
}

/** Status of a reply, with a body where the method has one: `fetch` sets no Host. */
async function statusOf(at: number, path: string, method: string, host: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { host, 'content-type': 'application/json' };
  const sent = request({ host: LOOPBACK, port: at, path, method, headers }, (reply) => {
    reply.resume().on('end', () => resolve(reply.statusCode ?? 0));
  }).on('error', reject);
  sent.end(/^P/.test(method) ? '[]' : undefined);
  return await promise;
}

describe.runIf(process.platform === 'linux')('on every port of what serves it', () => {
  it('the explorer of the storage is refused, whatever is asked of it', async () => {
    const ports = await portsOfChildren();
    expect(ports).toEqual(expect.arrayContaining([port, Number(new URL(worker.url).port)]));
    const namespaces = ['0', 'KV'].map((id) => `/api/storage/kv/namespaces/${id}`);
    const paths = namespaces.flatMap((id) => [
      `${id}/values/a`,
      `${id}/values/b`,
      `${id}/bulk/delete`,
    ]);
    const r2 = ['/api/r2/buckets/bucket/objects/a', '/api/storage/r2/buckets/bucket/objects/a'];
    for (const path of ['/', '/api/storage/kv/namespaces', ...paths, ...r2]) {
      for (const base of ['/cdn-cgi/local/explorer', '/cdn-cgi/explorer']) {
        for (const at of ports) {
          for (const host of ['localhost', `${LOOPBACK}:${at}`, 'evil.example']) {
            for (const method of METHODS) {
              const status = await statusOf(at, base + path, method, host);
              expect({ at, method, path, refused: status >= 400 }).toEqual({
                at,
                method,
                path,
                refused: true,
              });
            }
          }
        }
      }
    }
    expect(await read()).toEqual(STORED);
  });
});

describe('the buckets by the protocol of S3', () => {
  const clientOf = (credentials: typeof owner) =>
    new S3Client({
      endpoint: `http://${LOOPBACK}:${port}${S3_PATH}`,
      region: 'auto',
      forcePathStyle: true,
      maxAttempts: 1,
      credentials,
    });
  const object = (Key: string) => ({ Bucket: 'bucket', Key });

  it('are refused to whoever does not sign', async () => {
    for (const path of ['', '/a', '/b', '?list-type=2', '?delete', '/a?uploads', '/b?uploads']) {
      for (const method of METHODS) {
        const all = `${S3_PATH}/bucket${path}`;
        const status = await statusOf(port, all, method, `${LOOPBACK}:${port}`);
        expect({ method, path, refused: status >= 400 }).toEqual({
          method,
          path,
          refused: true,
        });
      }
    }
    expect(await read()).toEqual(STORED);
  });

  it('are refused to whoever signs with another secret, and served to their owner', async () => {
    const stranger = clientOf({ ...owner, secretAccessKey: 'another secret' });
    const commands = () => [
      new GetObjectCommand(object('a')),
      new PutObjectCommand({ ...object('b'), Body: 'written' }),
      new DeleteObjectCommand(object('a')),
      new ListObjectsV2Command({ Bucket: 'bucket' }),
    ];
    for (const command of commands()) {
      await expect(stranger.send(command as GetObjectCommand)).rejects.toMatchObject({
        $metadata: { httpStatusCode: 403 },
      });
    }
    expect(await read()).toEqual(STORED);
    const { Body } = await clientOf(owner).send(new GetObjectCommand(object('a')));
    expect(await Body?.transformToString()).toBe('stored');
  });
});

it('the Worker that expires entries answers nobody without its token', async () => {
  const token = crypto.randomUUID();
  const expiring = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: EXPIRING_WORKER.contents,
      compatibilityDate: '2026-08-04',
      kvNamespaces: ['KV'],
      bindings: { TOKEN: token },
    }),
  );
  try {
    const at = Number((await expiring.ready).port);
    expect(await statusOf(at, `/${token}`, 'POST', 'localhost')).toBe(204);
    const wrong = [crypto.randomUUID(), '', `${token}/`, `${token}x`, `/${token}`, 'KV', 'TOKEN'];
    for (const path of wrong) {
      for (const method of METHODS) {
        const status = await statusOf(at, `/${path}`, method, 'localhost');
        expect({ method, path, status }).toEqual({ method, path, status: 404 });
      }
    }
  } finally {
    await expiring.dispose();
  }
});
