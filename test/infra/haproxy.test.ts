/** HAProxy with the configuration of the clusters, before servers on this machine. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { startWorker } from '@blip2/gpu-worker/start-worker';
import { withDefaults } from '@blip2/shared/config/option';
import { describe, expect, it } from 'vitest';
import { type Balancer, startBalancer } from '../../tools/haproxy.ts';
import { isHaproxyInstalled } from '../support/haproxy.ts';

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

const ask = async ({ url }: Balancer, image: string) =>
  await (
    await fetch(`${url}/v1/run`, { method: 'POST', headers: { 'x-image': image }, body: 'x' })
  ).text();

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
      for (const image of images) places.set(image, await ask(balancer, image));
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
