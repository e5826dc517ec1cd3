/** HAProxy with the configuration of the clusters, before servers on this machine. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { get as httpsGet } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { startWorker } from '@blip2/gpu-worker/start-worker';
import { withDefaults } from '@blip2/shared/config/option';
import { describe, expect, it } from 'vitest';
import { type Balancer, startBalancer } from '../../tools/haproxy.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { isHaproxyInstalled } from '../support/haproxy.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** A server that says its name, streams until the test ends it, and drains as a worker does. */
class Backend implements AsyncDisposable {
  readonly server: Server;
  #end = Promise.withResolvers<void>();
  isReady = true;
  /** The status of `/v1/run`. */
  status = 200;

  readonly name: string;

  constructor(name: string) {
    this.name = name;
    this.server = createServer(async (request, response) => {
      if (request.url === '/readyz') return void response.writeHead(this.isReady ? 200 : 503).end();
      response.writeHead(this.status, { 'x-worker': this.name });
      if (request.url !== '/v1/stream') return void response.end(this.name);
      response.write('first');
      await this.#end.promise;
      response.end('last');
    });
  }

  async start(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  endStreams(): void {
    this.#end.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endStreams();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const folder = temporaryFolder();

/**
 * Makes what HAProxy has: `server.pem`, and `edge-ca.pem`, by which the edge's certificate is signed.
 * @returns certificates of clients, and their keys
 */
async function makeCertificates(folder: string) {
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const name of ['edge-ca', 'server', 'stranger']) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    await openssl('req', '-x509', ...key, '-days', '2', '-subj', `/CN=${name}`, ...files);
  }
  await appendFile(join(folder, 'server.pem'), await readFile(join(folder, 'server.key')));
  await openssl('req', ...key, '-subj', '/CN=edge', '-keyout', 'edge.key', '-out', 'edge.csr');
  const ca = ['-CA', 'edge-ca.pem', '-CAkey', 'edge-ca.key', '-days', '2'];
  await openssl('x509', '-req', '-in', 'edge.csr', ...ca, '-out', 'edge.pem');
  const pair = async (name: string) => ({
    cert: await readFile(join(folder, `${name}.pem`)),
    key: await readFile(join(folder, `${name}.key`)),
  });
  return { edge: await pair('edge'), stranger: await pair('stranger') };
}

async function ask({ url }: Balancer, image: string): Promise<string> {
  const init = { method: 'POST', headers: { 'x-image': image }, body: 'x' };
  return await (await fetch(`${url}/v1/run`, init)).text();
}

describe.runIf(isHaproxyInstalled)('HAProxy', () => {
  it('sends what is about one image to one worker, and only the images of one that is gone elsewhere', async () => {
    const backends = ['a', 'b', 'c'].map((name) => new Backend(name));
    const [gone] = backends;
    await using stack = new AsyncDisposableStack();
    for (const backend of backends) stack.use(backend);
    const addresses = await Promise.all(backends.map((backend) => backend.start()));
    const balancer = stack.use(await startBalancer(addresses));
    const images = Array.from({ length: 60 }, (_, index) => `image-${index}`);
    const place = async () => {
      const places = new Map<string, string>();
      for (const image of images) {
        // Who has a reply sees its end before HAProxy does, and a worker that seems busy is passed over.
        await expect.poll(balancer.openRequests, { interval: 1 }).toBe(0);
        places.set(image, await ask(balancer, image));
      }
      return places;
    };
    const before = await place();
    expect(await place()).toEqual(before);
    expect(new Set(before.values()).size).toBe(3);
    await gone![Symbol.asyncDispose]();
    await expect.poll(() => balancer.upServers()).toBe(2);
    const after = await place();
    for (const [image, worker] of before) if (worker !== 'a') expect(after.get(image)).toBe(worker);
    expect([...after.values()]).not.toContain('a');
  });

  it('leaves the streams of a worker that drains, and sends it nothing new', async () => {
    await using stack = new AsyncDisposableStack();
    const [draining, other] = [stack.use(new Backend('draining')), stack.use(new Backend('other'))];
    const balancer = stack.use(await startBalancer([await draining.start(), await other.start()]));
    const images = Array.from({ length: 20 }, (_, index) => `image-${index}`);
    const mine: string[] = [];
    for (const image of images) if ((await ask(balancer, image)) === 'draining') mine.push(image);
    const [image = ''] = mine;
    const stream = await fetch(`${balancer.url}/v1/stream`, { headers: { 'x-image': image } });
    expect(stream.headers.get('x-worker')).toBe('draining');
    draining.isReady = false;
    await expect.poll(() => balancer.upServers()).toBe(1);
    expect(await ask(balancer, image)).toBe('other');
    draining.endStreams();
    expect(await stream.text()).toBe('firstlast');
  });

  it('does not take a worker from those it serves because it is full', async () => {
    await using stack = new AsyncDisposableStack();
    const full = stack.use(new Backend('full'));
    const balancer = stack.use(await startBalancer([await full.start()]));
    const stream = await fetch(`${balancer.url}/v1/stream`);
    full.status = 503;
    for (let count = 0; count < 10; count++) expect(await ask(balancer, 'image')).toBe('full');
    expect(await balancer.upServers()).toBe(1);
    full.endStreams();
    expect(await stream.text()).toBe('firstlast');
  });

  it('takes nothing from who has no certificate of the edge, with the line of docs/workers.md', async () => {
    const documented = await readFile(join(ROOT, 'docs/workers.md'), 'utf8');
    const [, line = ''] = /`bind :8443 (ssl [^`]+)`/.exec(documented) ?? [];
    const certificates = await makeCertificates(folder);
    const tls = line.replaceAll('/etc/haproxy', folder);
    await using stack = new AsyncDisposableStack();
    const backend = stack.use(new Backend('worker'));
    const { url } = stack.use(await startBalancer([await backend.start()], tls));
    const get = async (client: { cert?: Buffer; key?: Buffer }) => {
      const request = httpsGet(`${url}/v1/model`, { ...client, rejectUnauthorized: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      return await text(response);
    };
    expect(await get(certificates.edge)).toBe('worker');
    await expect(get({})).rejects.toThrow();
    await expect(get(certificates.stranger)).rejects.toThrow();
  });

  it('asks the real worker, and hides its metrics', async () => {
    const worker = await startWorker({ ...withDefaults(WORKER_OPTIONS), port: 0, threads: 1 });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => worker.stop());
    const balancer = stack.use(await startBalancer([new URL(worker.url).host]));
    expect((await fetch(`${balancer.url}/readyz`)).status).toBe(200);
    expect((await fetch(`${balancer.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${balancer.url}/metrics`)).status).toBe(404);
    expect(await (await fetch(`${balancer.url}/v1/model`)).json()).toMatchObject({
      name: 'blip2-scenes',
    });
  });
});
