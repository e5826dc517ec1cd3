import { describe, expect, it } from 'vitest';
import { sentStreamOf, streamOf } from './stream.ts';

/** Pieces without end, and whether somebody has ended them. */
function endless() {
  const ended = Promise.withResolvers<void>();
  const pieces = (async function* () {
    try {
      for (;;) yield new Uint8Array(1000).fill(7);
    } finally {
      ended.resolve();
    }
  })();
  return { pieces, ended: ended.promise };
}

describe('a stream', () => {
  it('says when its reader is waited for, and what it has', async () => {
    const { pieces } = endless();
    const said: string[] = [];
    const body = await streamOf(pieces, {
      whileRead: async (bytes, asked) => {
        said.push(`has ${bytes}`);
        await asked;
        said.push('asks');
      },
    });
    const reader = body.getReader();
    for (let reads = 0; reads < 2; reads++) await reader.read();
    await reader.cancel();
    expect(said).toEqual(['has 0', 'asks', 'has 1000', 'asks', 'has 1000', 'asks']);
  });

  it.each([null, 100_000])(
    'of %s bytes that breaks off leaves no piece to be taken',
    async (bytes) => {
      const { pieces, ended } = endless();
      const broken = Promise.withResolvers<never>();
      const ends: string[] = [];
      const body = await sentStreamOf(pieces, bytes, {
        // The second piece waits to be taken.
        whileRead: async (has, asked) => await (has === 0 ? asked : broken.promise),
        onEnd: () => ends.push('end'),
      });
      const reader = body.getReader({ mode: 'byob' });
      await reader.read(new Uint8Array(10));
      broken.reject(new Error('others needed its memory'));
      await ended;
      await expect(reader.read(new Uint8Array(10))).rejects.toThrow();
      expect(ends).toEqual(['end']);
    },
  );

  it('counts what is read of a piece before all of it was', async () => {
    const has: number[] = [];
    const pieces = (async function* () {
      yield new Uint8Array(2 ** 19);
    })();
    const body = await sentStreamOf(pieces, 2 ** 19, {
      whileRead: async (bytes) => void has.push(bytes),
    });
    const reader = body.getReader();
    await reader.read();
    expect(has.slice(0, 2)).toEqual([0, 2 ** 14]);
    await reader.cancel();
  });

  it('that nobody has waited for is whole', async () => {
    const pieces = (async function* () {
      for (const value of [1, 2, 3]) yield Uint8Array.of(value);
    })();
    const body = await sentStreamOf(pieces, null);
    expect(new Uint8Array(await new Response(body).arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3));
  });
});
