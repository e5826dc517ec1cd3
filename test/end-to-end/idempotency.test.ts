/** `Idempotency-Key` through the whole chain: clients that leave and come back, and many at once. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type TestImage, testImages } from '../support/test-images.ts';

const storage = temporaryFolder();
let stack: Stack;
let image: TestImage;

beforeAll(async () => {
  const [started, images] = await Promise.all([startStack({ persist: storage }), testImages(1)]);
  stack = started;
  image = images[0] as TestImage;
});
afterAll(() => stack?.stop());

function caption(key: string, query = '', signal?: AbortSignal): Promise<Response> {
  return fetch(`${stack.url}/v1/captions?num_beams=4&max_tokens=30${query}`, {
    method: 'POST',
    headers: { 'content-type': 'image/webp', 'idempotency-key': key },
    body: image.bytes as NonNullable<RequestInit['body']>,
    ...(signal && { signal }),
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

it('goes on for a client that leaves a stream and comes back', async () => {
  const key = crypto.randomUUID();
  const leaving = new AbortController();
  const left = await caption(key, '&stream=true', leaving.signal);
  expect(left.status).toBe(200);
  leaving.abort();
  await expect(left.text()).rejects.toThrow();
  const back = await caption(key, '&stream=true');
  expect(isReplayed(back)).toBe(true);
  const text = await back.text();
  expect(text).toContain('event: done');
  expect(await (await caption(key, '&stream=true')).text()).toBe(text);
});

it('remembers over a restart of the service', async () => {
  const key = crypto.randomUUID();
  const text = await (await caption(key)).text();
  await stack.stop();
  stack = await startStack({ persist: storage });
  const again = await caption(key);
  expect(isReplayed(again)).toBe(true);
  expect(await again.text()).toBe(text);
});
