import { describe, expect, it, vi } from 'vitest';
import { readLimited } from './read-limited.ts';
import { WholeRequest } from './whole-request.ts';

/** A body of chunks of these sizes; `sent` counts the bytes that were asked for. */
function bodyOf(sizes: readonly number[]) {
  const chunks = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
  const state = { sent: 0, canceled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks.shift();
        if (chunk === undefined) return controller.close();
        state.sent += chunk.length;
        controller.enqueue(chunk);
      },
      cancel: () => {
        state.canceled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, state };
}

const source = (body: ReadableStream<Uint8Array> | null, length?: number) => ({
  body,
  headers: new Headers(length === undefined ? {} : { 'content-length': String(length) }),
});

const reading = { maxHeldBytes: 2 ** 24, client: 'a' };

describe('a body', () => {
  it('of several chunks is read into one', async () => {
    const { body } = bodyOf([2, 1, 3]);
    expect(await readLimited(source(body), 6, reading)).toEqual(Uint8Array.of(1, 1, 2, 3, 3, 3));
  });

  it('that is in memory already is taken as it is, within the limit', async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const request = new WholeRequest('http://edge.example/', { method: 'POST' }, bytes);
    expect(await readLimited(request, 3, reading)).toBe(bytes);
    await expect(readLimited(request, 2, reading)).rejects.toMatchObject({
      slug: 'body-too-large',
      extras: { limit: 2, actual: 3 },
    });
  });

  it.each([
    ['as many bytes as it declares', 200_000],
    ['fewer bytes than it declares', 300_000],
    ['more bytes than it declares', 100_000],
    ['no declaration', undefined],
  ])('of chunks that do not fit into one another is read whole: %s', async (_what, declared) => {
    const { body } = bodyOf([1, 99_999, 60_000, 40_000]);
    const bytes = await readLimited(source(body, declared), 400_000, reading);
    expect(bytes).toHaveLength(200_000);
    expect([0, 1, 99_999, 100_000, 159_999, 160_000].map((at) => bytes[at])).toEqual([
      1, 2, 2, 3, 3, 4,
    ]);
    expect(bytes.buffer.byteLength).toBe(200_000);
  });

  it('takes no memory before anything of it has come', async () => {
    const sizes: number[] = [];
    vi.stubGlobal(
      'Uint8Array',
      class extends Uint8Array {
        constructor(size = 0) {
          super(size);
          sizes.push(size);
        }
      },
    );
    const body = new ReadableStream<globalThis.Uint8Array<ArrayBuffer>>();
    try {
      const read = readLimited(source(body, 200_000), 400_000, { ...reading, ms: 20 });
      await expect(read).rejects.toMatchObject({ slug: 'deadline-exceeded' });
    } finally {
      vi.unstubAllGlobals();
    }
    expect(Math.max(...sizes)).toBe(0);
  });

  it('that is absent has no bytes', async () => {
    expect(await readLimited(source(null), 6, reading)).toHaveLength(0);
  });

  it('that declares too many bytes is refused unread', async () => {
    const { body, state } = bodyOf([1]);
    await expect(readLimited(source(body, 7), 6, reading)).rejects.toMatchObject({
      slug: 'body-too-large',
      extras: { limit: 6, actual: 7 },
    });
    expect(state.sent).toBe(0);
  });

  it('that has more bytes than it declares is refused and canceled at the limit', async () => {
    const { body, state } = bodyOf([4, 4, 4, 4]);
    await expect(readLimited(source(body, 4), 6, reading)).rejects.toMatchObject({
      slug: 'body-too-large',
      extras: { limit: 6, actual: 8 },
    });
    expect(state).toEqual({ sent: 8, canceled: true });
  });

  it('that stops coming is given up at the deadline, and canceled', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Uint8Array.of(1)),
      cancel: resolve,
    });
    await expect(readLimited(source(body), 6, { ...reading, ms: 20 })).rejects.toMatchObject({
      slug: 'deadline-exceeded',
      message: expect.stringMatching(/after 20 ms/),
    });
    await promise;
  });

  it('that is large waits for others to be read, without harm to them', async () => {
    const gate = Promise.withResolvers<void>();
    const large = new Uint8Array(3 * 2 ** 20);
    const slow = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(large);
        await gate.promise;
        controller.close();
      },
    });
    const limits = { maxHeldBytes: 2 ** 22 };
    const first = readLimited(source(slow), 2 ** 23, { ...limits, client: 'a' });
    const both = () => source(new Blob([large, large]).stream());
    const second = () => readLimited(both(), 2 ** 23, { ...limits, client: 'b' });
    await expect(second()).rejects.toMatchObject({
      slug: 'overloaded',
      extras: { retry_after: 1 },
    });
    gate.resolve();
    expect(await first).toHaveLength(3 * 2 ** 20);
    expect(await second()).toHaveLength(6 * 2 ** 20);
  });
});
