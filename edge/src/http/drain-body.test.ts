import { expect, it } from 'vitest';
import { drainBody } from './drain-body.ts';

/** A body that never ends, by pieces of so many bytes. @returns what has come of it, too */
function endless(bytes: number, betweenMs: number) {
  const state = { pieces: 0, isLeft: false };
  let timer: ReturnType<typeof setTimeout>;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) =>
      new Promise((resolve) => {
        timer = setTimeout(() => {
          state.pieces++;
          controller.enqueue(new Uint8Array(bytes));
          resolve();
        }, betweenMs);
      }),
    cancel: () => {
      clearTimeout(timer);
      state.isLeft = true;
    },
  });
  return { body: body as Request['body'], state };
}

it('who sends slowly is left long before the deadline', async () => {
  const { body, state } = endless(4096, 50);
  await drainBody({ body }, 3_600_000);
  expect(state.isLeft).toBe(true);
});

it('who sends fast is read, up to a bound', async () => {
  const { body, state } = endless(2 ** 20, 10);
  await drainBody({ body }, 3_600_000);
  expect(state.isLeft).toBe(true);
  expect(state.pieces).toBeGreaterThanOrEqual(128);
});

it('as many are read at a time as an isolate has room for, and the rest is left at once', async () => {
  const reads: Promise<void>[] = [];
  const bodies = Array.from({ length: 1024 }, () => new TransformStream<Uint8Array, Uint8Array>());
  for (const { readable } of bodies) {
    reads.push(drainBody({ body: readable as Request['body'] }, 3_600_000));
  }
  const { body } = new Response('the rest of a body');
  await drainBody({ body }, 3_600_000);
  expect(body?.locked).toBe(false);
  for (const { writable } of bodies) writable.close().catch(() => {});
  await Promise.all(reads);
  await drainBody({ body }, 3_600_000);
  expect(body?.locked).toBe(true);
});
