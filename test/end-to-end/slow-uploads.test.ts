/** Who sends a body just fast enough keeps nobody out: real connections to the local stack, with little memory for bodies. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

const MEBIBYTE = 2 ** 20;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    jobs: true,
    vars: { MAX_HELD_BYTES: String(4 * MEBIBYTE), CLIENT_ADDRESS_HEADER: 'x-real-ip' },
    logLevel: 'none',
  });
});
afterAll(() => stack?.stop());

type Target = { path: string; type: string };

function open({ path, type }: Target, address: string, bytes: number) {
  return request(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': type, 'content-length': bytes, 'x-real-ip': address },
  });
}

/** Sends so much at once, and then as good as nothing. @returns what comes back */
async function sendSlowly(target: Target, address: string, bytes: number) {
  const sending = open(target, address, 8 * MEBIBYTE);
  sending.write(Buffer.alloc(bytes, ' '));
  const timer = setInterval(() => sending.write(Buffer.alloc(2048, ' ')), 250);
  sending.on('error', () => {});
  try {
    const [reply] = (await once(sending, 'response')) as [IncomingMessage];
    return { status: reply.statusCode, body: await text(reply) };
  } finally {
    clearInterval(timer);
    sending.destroy();
  }
}

async function send(target: Target, address: string, body: Buffer): Promise<number> {
  const sending = open(target, address, body.length).end(body);
  sending.on('error', () => {});
  const [reply] = (await once(sending, 'response')) as [IncomingMessage];
  reply.resume();
  return reply.statusCode ?? 0;
}

const LINE = `{"image": {"sha256": "${'0'.repeat(64)}"}}`;
const LINES = Buffer.from(`${LINE.padEnd(4095)}\n`.repeat(256));

const UPLOAD = { path: '/v1/jobs?task=caption', type: 'application/x-ndjson' };
const IMAGE = { path: '/v1/captions', type: 'image/png' };
const [ONE, TWO, THREE] = ['203.0.113.1', '203.0.113.2', '203.0.113.3'] as const;

it.each([
  ['uploads', UPLOAD, [ONE, TWO], 0.75 * MEBIBYTE, 503, LINES, 202],
  ['uploads from one address', UPLOAD, [THREE], 0.75 * MEBIBYTE, 429, LINES, 202],
  // It is read, and is no image.
  ['images', IMAGE, [ONE, TWO], 1.75 * MEBIBYTE, 503, Buffer.alloc(MEBIBYTE), 400],
])('slow %s give way to faster ones', async (_, target, addresses, bytes, before, body, after) => {
  const slow = addresses.map((address) => sendSlowly(target, address, bytes));
  const fast = () => send(target, THREE, body);
  await expect.poll(fast).toBe(before);
  await expect.poll(fast, { timeout: 25_000 }).toBe(after);
  const first = await Promise.race(slow);
  expect(first.status).toBe(503);
  expect(JSON.parse(first.body)).toMatchObject({ detail: expect.stringContaining('came slowly') });
});

it('bodies that are reset leave no place', async () => {
  const reset = async () => {
    const sending = open(IMAGE, ONE, 8 * MEBIBYTE);
    sending.on('error', () => {});
    sending.flushHeaders();
    await once(sending, 'socket');
    await new Promise<void>((written) => sending.write(Buffer.alloc(1024), () => written()));
    sending.socket?.resetAndDestroy();
  };
  // As many as are awaited at a time, and some more.
  for (let n = 0; n < 1200; n += 40) await Promise.all(Array.from({ length: 40 }, reset));
  expect(await send(IMAGE, TWO, Buffer.alloc(MEBIBYTE))).toBe(400);
  expect(await send(IMAGE, ONE, Buffer.alloc(MEBIBYTE))).toBe(400);
});
