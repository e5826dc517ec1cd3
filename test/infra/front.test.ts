/** HAProxy with the configuration that stands before a service of `npm start`, and the service. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFront } from '../../tools/haproxy.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { readImage, readScenes } from '../../tools/scenes.ts';
import { isHaproxyInstalled } from '../support/haproxy.ts';

describe.runIf(isHaproxyInstalled)('HAProxy before the service', () => {
  let stack: Stack;
  let front: Awaited<ReturnType<typeof startFront>>;
  let image: Uint8Array<ArrayBuffer>;

  beforeAll(async () => {
    const [scene] = await readScenes();
    image = await readImage(scene!);
    stack = await startStack({
      vars: { CLIENT_ADDRESS_HEADER: 'x-real-ip', ANONYMOUS_REQUESTS_PER_MINUTE: '40' },
      logLevel: 'none',
    });
    front = await startFront(new URL(stack.url).host);
  });
  afterAll(async () => {
    await front?.[Symbol.asyncDispose]();
    await stack?.stop();
  });

  const caption = async (query = '', init: RequestInit = {}) =>
    await fetch(`${front.url}/v1/captions${query}`, {
      ...{ method: 'POST', body: image, ...init },
      headers: { 'content-type': 'image/webp', ...init.headers },
    });
  /** What comes for a request as it is sent, until the connection ends. */
  const exchange = async (text: string, localAddress = '127.0.0.1') => {
    const socket = open(localAddress);
    socket.write(text);
    let reply = '';
    for await (const part of socket) reply += part;
    return reply;
  };
  const open = (localAddress: string): Socket => {
    const { hostname: host, port } = new URL(front.url);
    return connect({ host, port: Number(port), localAddress }).on('error', () => {});
  };
  const get = (...lines: string[]) =>
    ['GET /v1/models HTTP/1.1', 'Host: x', 'Connection: close', ...lines, '', ''].join('\r\n');

  it('hands streams on as they are written', async () => {
    const direct = await fetch(`${stack.url}/v1/captions`, {
      ...{ method: 'POST', body: image, headers: { 'content-type': 'image/webp' } },
    });
    const { caption: text } = (await direct.json()) as { caption: string };
    const reply = await caption('?stream=true', { headers: { 'cache-control': 'no-cache' } });
    const parts: string[] = [];
    for await (const part of reply.body!.pipeThrough(new TextDecoderStream())) parts.push(part);
    expect(parts.length).toBeGreaterThan(2);
    expect(parts.join('')).toContain(`"caption":${JSON.stringify(text)}`);
  });

  it.each([
    ['of one name', 'cookie: aaaaaa'],
    ['of a name that workerd does not know', 'x-a: aaaaaa'],
  ])('lets no head of a thousand lines through %s', async (_name, line) => {
    const reply = await exchange(get(...Array<string>(1000).fill(line)));
    // Of HAProxy: no other replies to GET with HTML.
    expect(reply).toMatch(/^HTTP\/1\.1 400 (?:.|\s)*text\/html/);
    expect(await exchange(get(...Array<string>(80).fill(line)))).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('lets no address have more than its share of connections', async () => {
    const sockets = Array.from({ length: 130 }, () => open('127.0.0.2'));
    // Without `resume` nobody sees that the other side has ended.
    const ended = sockets.map((socket) => new Promise((end) => socket.resume().on('close', end)));
    const isOver = await Promise.all(
      ended.map((end) => Promise.race([end.then(() => true), delay(2000).then(() => false)])),
    );
    expect(isOver.filter(Boolean).length).toBe(30);
    expect(await exchange(get(), '127.0.0.3')).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of sockets) socket.destroy();
  });

  it('says who a client is, whatever it says itself', async () => {
    const statuses = new Set<number>();
    for (let n = 0; n < 41; n++) {
      const reply = await exchange(get(`X-Real-IP: 10.1.1.${n}`), '127.0.0.4');
      statuses.add(Number(/^HTTP\/1\.1 (\d+)/.exec(reply)?.[1]));
    }
    expect([...statuses]).toEqual([200, 429]);
    expect(await exchange(get(), '127.0.0.5')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('ends what a client has asked for who closes its connection, though no reply has begun', async () => {
    const read = async (name: string) => {
      const text = await (await fetch(`${stack.workerUrl}/metrics`)).text();
      return Number(new RegExp(`^blip2_${name}\\S* (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    };
    const running = () => read('num_requests_running');
    const before = await read('generation_tokens_total');
    const socket = open('127.0.0.6');
    const query = 'max_tokens=220&min_tokens=220&n=8&temperature=1';
    const head = ['Host: x', 'Content-Type: image/webp', `Content-Length: ${image.length}`];
    socket.write(`POST /v1/captions?${query} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`);
    socket.write(image);
    await expect.poll(running, { interval: 5 }).toBeGreaterThan(0);
    // An end, and no reset.
    socket.end();
    await expect.poll(running, { interval: 5, timeout: 10_000 }).toBe(0);
    expect((await read('generation_tokens_total')) - before).toBeLessThan(8 * 220);
    socket.destroy();
  });
});
