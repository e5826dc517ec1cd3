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
  await drainBody({ body }, 3_600_000, 'drained');
  expect(state.isLeft).toBe(true);
});

it('who sends fast is read, up to a bound', async () => {
  const { body, state } = endless(2 ** 20, 10);
  await drainBody({ body }, 3_600_000, 'drained');
  expect(state.isLeft).toBe(true);
  expect(state.pieces).toBeGreaterThanOrEqual(128);
});

/** So many bodies of which nothing comes, each of the client that its number has. */
function waitingBodies(count: number, clientOf: (number: number) => string) {
  const bodies = Array.from({ length: count }, () => new TransformStream<Uint8Array, Uint8Array>());
  const reads = bodies.map(({ readable }, number) =>
    drainBody({ body: readable as Request['body'] }, 3_600_000, clientOf(number)),
  );
  const end = async () => {
    for (const { writable } of bodies) writable.close().catch(() => {});
    await Promise.all(reads);
  };
  return { end };
}

/** Whether one more is read. */
async function isDrained(client: string): Promise<boolean> {
  const { body } = new Response('the rest of a body');
  await drainBody({ body }, 3_600_000, client);
  return body?.locked ?? false;
}

it('as many are read at a time as an isolate has room for, and the rest is left at once', async () => {
  const { end } = waitingBodies(1024, (number) => `${number}`);
  expect(await isDrained('another')).toBe(false);
  await end();
  expect(await isDrained('another')).toBe(true);
});

it('one client has half of that, and those whom nobody tells apart have all of it', async () => {
  const greedy = waitingBodies(600, () => 'greedy');
  expect(await isDrained('greedy')).toBe(false);
  expect(await isDrained('another')).toBe(true);
  await greedy.end();
  const unnamed = waitingBodies(600, () => 'unnamed');
  expect(await isDrained('unnamed')).toBe(true);
  await unnamed.end();
});
