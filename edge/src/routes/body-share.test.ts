/** Whose memory a body takes: that of the key, where there is one, and not of the address that many share. */
import { createKey, keyName } from '@blip2/shared/api-key';
import { expect, it } from 'vitest';
import { newImage, startEdge, testEnv } from '../testing/edge.ts';

const MEBIBYTE = 2 ** 20;

async function newKey(): Promise<Record<string, string>> {
  const key = createKey();
  const record = { name: 'test', scopes: ['text'], created_at: Date.now() };
  await (testEnv.KEYS as KVNamespace).put(await keyName(key), JSON.stringify(record));
  return { authorization: `Bearer ${key}`, 'content-type': 'image/png' };
}

/** A body that has begun and does not go on. */
function stalled(bytes: number) {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(new Uint8Array(bytes));
      begun.resolve();
      await ended.promise;
      controller.close();
    },
  });
  return { body, begun: begun.promise, end: ended.resolve };
}

it('the bodies of one key leave those of another at the same address their half', async () => {
  const [held, most] = [4 * MEBIBYTE, 20 * MEBIBYTE].map(String);
  const env = {
    ALLOW_ANONYMOUS: '',
    MAX_HELD_BYTES: held,
    MAX_IMAGE_BYTES: most,
    MAX_BODY_BYTES: most,
  };
  const { request, post } = startEdge({ env });
  const [one, other] = [await newKey(), await newKey()];
  const upload = stalled(3 * MEBIBYTE);
  const first = request('/v1/captions', { method: 'POST', headers: one, body: upload.body });
  await upload.begun;
  const image = new Uint8Array([...newImage(), ...new Uint8Array(MEBIBYTE / 4)]);
  expect((await post('/v1/captions', image, one)).status).toBe(429);
  expect((await post('/v1/captions', image, other)).status).toBe(200);
  upload.end();
  await (await first).arrayBuffer();
});
