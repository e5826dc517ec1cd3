/** Images of requests over HTTP, with memory for one of them: what is not charged is not read, and what is charged is given back. */
import { encodeFrame, encodeJsonFrame, FrameReader } from '@blip2/shared/frames';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { chunk } from '../../../test/support/large-png.ts';
import { BodyMemory } from './body-memory.ts';
import { type Bytes, endless, framesOf, TestWorker } from './testing/test-worker.ts';

/** Two of these are more than the memory. */
const IMAGE_BYTES = 700_000;
const SIGNATURE_AND_HEADER_BYTES = 8 + 25;

let test: TestWorker;
let image: Bytes;
beforeAll(async () => {
  test = await TestWorker.start({ maxImageBytes: 2 ** 20, maxBodyMemoryMb: 1 });
  const png = Buffer.from(test.image(0).subarray(8));
  const head = png.subarray(0, SIGNATURE_AND_HEADER_BYTES);
  const padding = chunk('paDd', new Uint8Array(IMAGE_BYTES - png.length - 12));
  const parts = [head, padding, png.subarray(head.length)];
  image = encodeFrame('image', new Uint8Array(Buffer.concat(parts)));
});
afterAll(() => test?.worker.stop());

const spyOn = () => ({
  take: vi.spyOn(BodyMemory.prototype, 'take'),
  payload: vi.spyOn(FrameReader.prototype, 'payload'),
});
let spies: ReturnType<typeof spyOn>;
beforeEach(() => {
  spies = spyOn();
});
afterEach(() => vi.restoreAllMocks());

/** Frames of which the payload was asked for: two of a request that is read to its end. */
const read = () => spies.payload.mock.calls.length;
/** Bytes that are charged, once so many bodies have asked for memory. */
async function held(bodies: number): Promise<number> {
  await expect.poll(() => spies.take.mock.calls.length).toBe(bodies);
  return (spies.take.mock.contexts[0] as BodyMemory).held;
}

/** Sends a request and some of its image. */
function upload(client: string, bytes = IMAGE_BYTES / 2) {
  const leaving = new AbortController();
  const { readable, writable } = new TransformStream<Bytes, Bytes>();
  const writer = writable.getWriter();
  const send = (bytes: Bytes) => writer.write(bytes).catch(() => {});
  send(encodeJsonFrame('request', test.generate({ client })));
  send(image.slice(0, bytes));
  const init = { duplex: 'half', signal: leaving.signal } as RequestInit;
  return {
    reply: test.post(readable as unknown as RequestInit['body'], init),
    finish: () => {
      send(image.slice(bytes));
      writer.close().catch(() => {});
    },
    leave: () => leaving.abort(),
  };
}

const typesOf = async (reply: Promise<Response>) =>
  (await framesOf(await reply)).map(({ type }) => type);

/** When nobody holds or waits for anything any more. */
async function expectNothingHeld(): Promise<void> {
  await expect.poll(() => test.worker.engine.admitted).toBe(0);
  expect((spies.take.mock.contexts[0] as BodyMemory).held).toBe(0);
}

it('an image that finds no memory is not read and gets its 503, and the one that has it is answered', async () => {
  const first = upload('first');
  expect(await held(1)).toBe(IMAGE_BYTES);
  const second = upload('second');
  expect(await held(2)).toBe(IMAGE_BYTES);
  const response = await second.reply;
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await response.json()).toMatchObject({ type: '/problems/overloaded' });
  // Both requests, and the image of the first.
  expect(read()).toBe(3);
  expect(test.worker.engine.admitted).toBe(1);
  first.finish();
  expect((await typesOf(first.reply)).at(-1)).toBe('done');
  await expectNothingHeld();
});

it('an image that waits for memory is read once the other has left', async () => {
  const first = upload('first');
  await held(1);
  const second = upload('second');
  second.finish();
  await held(2);
  expect(read()).toBe(3);
  first.leave();
  await expect(first.reply).rejects.toThrow();
  expect((await typesOf(second.reply)).at(-1)).toBe('done');
  await expectNothingHeld();
});

it('nothing is held for a caller who has left while it waited', async () => {
  const first = upload('first');
  await held(1);
  // Of a connection with more than this in it, Node sees the end only where somebody reads on.
  const second = upload('second', 100);
  await held(2);
  second.leave();
  await expect(second.reply).rejects.toThrow();
  await expect.poll(() => test.worker.engine.admitted).toBe(1);
  const waited = spies.take.mock.results[1]?.value;
  await expect(waited).rejects.not.toMatchObject({ slug: 'overloaded' });
  first.finish();
  expect((await typesOf(first.reply)).at(-1)).toBe('done');
  await expectNothingHeld();
});

it.each([
  ['bytes that are no image', () => encodeFrame('image', new Uint8Array(IMAGE_BYTES)), 400],
  ['an image that another follows', () => Buffer.concat([image, image]), 400],
])('nothing is held of %s', async (_, source, status) => {
  const response = await test.send(test.generate(), new Uint8Array(source()));
  expect(response.status).toBe(status);
  expect(await held(1)).toBe(0);
  await expectNothingHeld();
});

it('nothing is held of an image while the text about it is generated', async () => {
  const response = await test.send(test.generate({ generation: endless(200) }), image);
  expect(response.status).toBe(200);
  expect(test.worker.engine.admitted).toBe(1);
  expect(await held(1)).toBe(0);
  await response.body?.cancel();
  await expectNothingHeld();
});
