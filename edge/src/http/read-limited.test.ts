import { describe, expect, it } from 'vitest';
import { readLimited } from './read-limited.ts';

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

describe('a body', () => {
  it('of several chunks is read into one', async () => {
    const { body } = bodyOf([2, 1, 3]);
    expect(await readLimited(source(body), 6)).toEqual(Uint8Array.of(1, 1, 2, 3, 3, 3));
  });

  it('that is absent has no bytes', async () => {
    expect(await readLimited(source(null), 6)).toHaveLength(0);
  });

  it('that declares too many bytes is refused unread', async () => {
    const { body, state } = bodyOf([1]);
    await expect(readLimited(source(body, 7), 6)).rejects.toMatchObject({
      slug: 'body-too-large',
      extras: { limit: 6, actual: 7 },
    });
    expect(state.sent).toBe(0);
  });

  it('that has more bytes than it declares is refused and canceled at the limit', async () => {
    const { body, state } = bodyOf([4, 4, 4, 4]);
    await expect(readLimited(source(body, 4), 6)).rejects.toMatchObject({
      slug: 'body-too-large',
      extras: { limit: 6, actual: 8 },
    });
    expect(state).toEqual({ sent: 8, canceled: true });
  });
});
