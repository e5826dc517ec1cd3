import { expect, it, onTestFinished, vi } from 'vitest';
import { type BodyReader, bodyReader } from './body-reader.ts';
import { drainBody } from './drain-body.ts';
import { readLimited } from './read-limited.ts';
import { readStream } from './read-stream.ts';

/** A stream of the platform, as bodies of requests are, of chunks of one byte. */
function bytewise(count: number): { body: ReadableStream<Uint8Array>; sent: Promise<void> } {
  const { readable, writable } = new IdentityTransformStream();
  const send = async () => {
    const writer = writable.getWriter();
    for (let i = 0; i < count; i++) await writer.write(Uint8Array.of(i));
    await writer.close();
  };
  return { body: readable, sent: send() };
}

async function lengths(reader: BodyReader): Promise<number[]> {
  const found: number[] = [];
  for (let piece = await reader.read(); piece !== null; piece = await reader.read()) {
    found.push(piece.length);
  }
  return found;
}

it('chunks of a byte come as pieces of a kilobyte, the last one aside', async () => {
  const { body, sent } = bytewise(2500);
  const [first = 0, second = 0, ...rest] = await lengths(bodyReader(body));
  await sent;
  expect(Math.min(first, second)).toBeGreaterThanOrEqual(1024);
  expect(first + second + rest.reduce((sum, length) => sum + length, 0)).toBe(2500);
  expect(rest.length).toBeLessThanOrEqual(1);
});

it('pieces are whole, in their order, and stay what they are', async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const reader = bodyReader(new Response(bytes).body as ReadableStream<Uint8Array>);
  const pieces: Uint8Array[] = [];
  for (let piece = await reader.read(); piece !== null; piece = await reader.read()) {
    pieces.push(piece);
  }
  expect(Buffer.concat(pieces)).toEqual(Buffer.from(bytes));
});

it('whoever reads a body reads few pieces of it, and waits with one timer for each', async () => {
  const timers = vi.spyOn(globalThis, 'setTimeout');
  onTestFinished(() => timers.mockRestore());
  const headers = new Headers();
  const upload = bytewise(2500);
  let pieces = 0;
  for await (const _ of readStream({ body: upload.body as Request['body'], headers }, 5000))
    pieces++;
  expect(pieces).toBeLessThanOrEqual(3);
  expect(timers.mock.calls.length).toBeLessThanOrEqual(4);
  const whole = bytewise(2500);
  const options = { maxHeldBytes: 2 ** 24, client: 'bytewise' };
  expect(await readLimited({ body: whole.body, headers }, 3000, options)).toHaveLength(2500);
  const refused = bytewise(2500);
  await drainBody({ body: refused.body as Request['body'] }, 5000, 'refused');
  await Promise.all([upload.sent, whole.sent, refused.sent]);
});

it('a stream that is made here comes as it was made, with a pause among small pieces', async () => {
  const waits = vi.spyOn(scheduler, 'wait');
  onTestFinished(() => waits.mockRestore());
  let left = 200;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (left-- === 0) controller.close();
      else controller.enqueue(new Uint8Array(10));
    },
  });
  expect(await lengths(bodyReader(body))).toEqual(Array(200).fill(10));
  expect(waits).toHaveBeenCalledTimes(3);
});

it('a body that somebody reads already is refused', () => {
  const { body } = new Response('a');
  body?.getReader();
  expect(() => bodyReader(body as ReadableStream<Uint8Array>)).toThrow(TypeError);
});
