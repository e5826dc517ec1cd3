/** Nothing is read of a body before its request is known to be served, and a place is held for nobody. */

import type { Problem } from '@blip2/shared/errors';
import {
  encodeFrame,
  encodeJsonFrame,
  FRAME_HEADER_BYTES,
  type FrameType,
} from '@blip2/shared/frames';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bytes, endless, TestWorker } from './testing/test-worker.ts';

let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ maxSlots: 1, queueLimit: 0, maxImageBytes: 2 ** 20 });
});
afterAll(() => test?.worker.stop());

/** A body whose parts are sent as they are asked for; the last one is repeated for ever, and `null` is never sent. */
function body(...parts: (Bytes | null)[]) {
  let sent = 0;
  const stream = new ReadableStream<Bytes>({
    pull(controller) {
      const part = parts[Math.min(sent, parts.length - 1)];
      sent += 1;
      return part == null ? new Promise(() => {}) : controller.enqueue(part);
    },
  });
  return { stream, sent: () => sent };
}

const post = (stream: ReadableStream<Bytes>, signal?: AbortSignal) =>
  test.post(
    stream as unknown as RequestInit['body'],
    {
      duplex: 'half',
      ...(signal === undefined ? {} : { signal }),
    } as RequestInit,
  );

/** The head of a frame without its payload. */
function headOf(type: FrameType, length: number): Bytes {
  const head = encodeFrame(type, new Uint8Array()).slice(0, FRAME_HEADER_BYTES);
  new DataView(head.buffer).setUint32(4, length, true);
  return head;
}

const request = () => encodeJsonFrame('request', test.generate());

describe('a body', () => {
  it.each<[string, () => (Bytes | null)[], RegExp]>([
    ['of empty frames without end', () => [encodeFrame('image', new Uint8Array())], /first frame/],
    [
      'whose first frame is too long',
      () => [headOf('request', 2 ** 20 + 1), null],
      /over the limit/,
    ],
    ['whose image is too long', () => [request(), headOf('image', 2 ** 20 + 1), null], /1048576/],
    ['whose image is empty', () => [request(), headOf('image', 0), null], /empty/],
    [
      'whose embeddings are too long',
      () => [request(), headOf('embeddings', 9e8), null],
      /more bytes/,
    ],
    ['with frames without end', () => [request(), test.image(0), test.image(0)], /more frames/],
    [
      'with empty frames without end',
      () => [request(), test.image(0), headOf('image', 0)],
      /more frames/,
    ],
  ])('%s is refused before it is read', async (_, parts, detail) => {
    const { stream } = body(...parts());
    const response = await post(stream);
    const problem = (await response.json()) as Problem;
    expect(response.status, JSON.stringify(problem)).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(problem.detail).toMatch(detail);
    expect(test.worker.engine.admitted).toBe(0);
  });

  it('is not read when all places are taken, and is not waited for', async () => {
    const running = await test.send(
      test.generate({ generation: endless(200), client: 'a' }),
      test.image(0),
    );
    const { stream } = body(request(), headOf('image', 2 ** 20), null);
    const response = await post(stream);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    await running.body?.cancel();
    await expect.poll(() => test.worker.engine.admitted).toBe(0);
  });

  it('whose client leaves in the middle gives its place back', async () => {
    const leaving = new AbortController();
    const { stream } = body(request(), headOf('image', 2 ** 20), new Uint8Array(100), null);
    const reply = post(stream, leaving.signal).catch(() => 'left');
    await expect.poll(() => test.worker.engine.admitted).toBe(1);
    leaving.abort();
    expect(await reply).toBe('left');
    await expect.poll(() => test.worker.engine.admitted).toBe(0);
    const next = await test.ask(test.generate(), test.image(0));
    expect(next.types.at(-1)).toBe('done');
  });
});
