/** `Idempotency-Key` through the whole chain: clients that leave and come back, and many at once. */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type TestImage, testImages } from '../support/test-images.ts';

const storage = temporaryFolder();
/** Else what one client asked would be there at once for the next, whatever its key. */
const VARS = { REPLY_TTL_HOURS: '0' };
let stack: Stack;
let image: TestImage;

beforeAll(async () => {
  const [started, images] = await Promise.all([
    startStack({ persist: storage, vars: VARS }),
    testImages(1),
  ]);
  stack = started;
  image = images[0] as TestImage;
});
afterAll(() => stack?.stop());

const caption = (key: string) => once(key, '&max_tokens=30', 4);

function once(key: string, query: string, beams = 1): Promise<Response> {
  return fetch(`${stack.url}/v1/captions?num_beams=${beams}${query}`, {
    method: 'POST',
    headers: { 'content-type': 'image/webp', 'idempotency-key': key },
    body: image.bytes as NonNullable<RequestInit['body']>,
  });
}
const isReplayed = ({ headers }: Response) => headers.get('idempotent-replayed') === 'true';

it('writes one reply for many equal requests at once, and sends it to all', async () => {
  const key = crypto.randomUUID();
  const replies = await Promise.all(Array.from({ length: 20 }, () => caption(key)));
  const texts = await Promise.all(replies.map((reply) => reply.text()));
  expect(new Set(texts).size).toBe(1);
  expect(JSON.parse(texts[0] ?? '')).toMatchObject({ cache: 'miss', finish_reason: 'stop' });
  expect(replies.filter(isReplayed)).toHaveLength(19);
});

/** Work that is far from its end when its client leaves. */
const LONG = '&min_tokens=150&max_tokens=150&temperature=0';

/** Sends a request by a connection of its own, which `leave` ends at once: with a reset, or as a program that exits does. */
function leavingClient(key: string, query: string) {
  const request = httpRequest(`${stack.url}/v1/captions?num_beams=1${query}`, {
    method: 'POST',
    agent: false,
    headers: { accept: '*/*', 'content-type': 'image/webp', 'idempotency-key': key },
  });
  const hasBegun = new Promise<void>((resolve, reject) => {
    request.once('response', (response) => {
      response.on('error', () => {});
      response.once('data', () => resolve());
    });
    request.once('error', reject);
  });
  hasBegun.catch(() => {});
  request.end(image.bytes);
  const leave = (isReset: boolean) => {
    if (isReset) request.socket?.resetAndDestroy();
    else request.socket?.destroy();
  };
  return { hasBegun, leave };
}

async function requestsRunning(): Promise<number> {
  const metrics = await (await fetch(`${stack.workerUrl}/metrics`)).text();
  return Number(/^blip2_num_requests_running\S* (\d+)/m.exec(metrics)?.[1]);
}

describe.each([
  ['closes its connection', false],
  ['resets its connection', true],
])('a first client that %s', (_how, isReset) => {
  it('does not end a stream that others with its key read, now and later', async () => {
    const key = crypto.randomUUID();
    const query = `${LONG}&stream=true`;
    const first = leavingClient(key, query);
    await first.hasBegun;
    const beside = once(key, query);
    first.leave(isReset);
    const back = once(key, query);
    const texts = await Promise.all([beside, back].map(async (reply) => (await reply).text()));
    expect(texts[0]).toContain('event: done');
    expect(texts[1]).toBe(texts[0]);
    const later = await once(key, query);
    expect(isReplayed(later)).toBe(true);
    expect(await later.text()).toBe(texts[0]);
  });

  it.each(['', '&stream=true'])('gets what it asked for when it comes back (%s)', async (form) => {
    const key = crypto.randomUUID();
    const first = leavingClient(key, LONG + form);
    await expect.poll(requestsRunning, { timeout: 20_000, interval: 5 }).toBe(1);
    first.leave(isReset);
    await expect.poll(requestsRunning, { timeout: 20_000 }).toBe(0);
    const back = await once(key, LONG + form);
    expect([back.status, isReplayed(back)]).toEqual([200, true]);
    expect(await back.text()).toMatch(form === '' ? /"finish_reason":"length"/ : /event: done/);
  });

  it('does not end a reply for which another with its key waits', async () => {
    const key = crypto.randomUUID();
    const first = leavingClient(key, LONG);
    await expect.poll(requestsRunning, { timeout: 20_000, interval: 5 }).toBe(1);
    const waiting = once(key, LONG);
    first.leave(isReset);
    const reply = await waiting;
    expect([reply.status, isReplayed(reply)]).toEqual([200, true]);
    const text = await reply.text();
    expect(JSON.parse(text)).toMatchObject({ finish_reason: 'length' });
    expect(await (await once(key, LONG)).text()).toBe(text);
  });
});

it('remembers over a restart of the service', async () => {
  const key = crypto.randomUUID();
  const text = await (await caption(key)).text();
  await stack.stop();
  stack = await startStack({ persist: storage, vars: VARS });
  const again = await caption(key);
  expect(isReplayed(again)).toBe(true);
  expect(await again.text()).toBe(text);
});
