import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  encodeTokensFrame,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type Frame,
  FrameError,
  type FrameErrorCode,
  FrameReader,
  type FrameType,
  framesOf,
  readFrames,
  type TokensPayload,
} from './frames.ts';

const concat = (parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** A stream of the bytes in chunks of the given size. */
function chunked(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  return ReadableStream.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size),
    ),
  );
}

const collect = (stream: ReadableStream<Uint8Array>, max?: number): Promise<Frame[]> =>
  Array.fromAsync(readFrames(stream, max));

describe('frames', () => {
  const big = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
  const tokens = [{ id: 0 }, { id: 50118 }, { id: 0xffff_ffff }];
  const message = concat([
    encodeJsonFrame('imageInfo', { width: 3, height: 2, format: 'png' }),
    encodeFrame('embeddings', big),
    encodeFrame('image', new Uint8Array()),
    encodeTokensFrame({ choice: 3, tokens }),
  ]);

  it.each([1, 3, 7, 8, 9, 64, 4096, 1 << 20])(
    'are decoded from chunks of %i bytes',
    async (size) => {
      const [info, embeddings, image, last] = await collect(chunked(message, size));
      expect(decodeJson(info!.payload)).toEqual({ width: 3, height: 2, format: 'png' });
      expect(embeddings).toEqual({ type: 'embeddings', payload: big });
      expect(image!.payload).toHaveLength(0);
      expect(decodeTokens(last!.payload)).toEqual({ choice: 3, tokens });
    },
  );

  it.each([1, 7, 9, message.length - 1])('cut after %i bytes are truncated', async (length) => {
    await expect(collect(chunked(message.slice(0, length), 64))).rejects.toMatchObject({
      name: 'FrameError',
      code: 'truncated',
    });
  });

  it('are the same where all bytes are there', async () => {
    expect([...framesOf(message)]).toEqual(await collect(chunked(message, 7)));
    expect([...framesOf(new Uint8Array())]).toEqual([]);
    for (const length of [1, 7, 9, message.length - 1]) {
      expect(() => [...framesOf(message.subarray(0, length))]).toThrow(
        expect.objectContaining({ name: 'FrameError', code: 'truncated' }),
      );
    }
    const unknown = Uint8Array.of(99, 2, 0, 0, 0, 0, 0, 0);
    expect(() => [...framesOf(unknown)]).toThrow(expect.objectContaining({ code: 'type' }));
  });

  it.each<[string, Uint8Array, FrameErrorCode]>([
    ['an unknown type', Uint8Array.of(99, 2, 0, 0, 0, 0, 0, 0), 'type'],
    ['another version', Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0), 'version'],
    ['reserved bytes that are in use', Uint8Array.of(1, 2, 7, 0, 0, 0, 0, 0), 'version'],
    ['a payload over the limit', Uint8Array.of(1, 2, 0, 0, 255, 255, 0, 0), 'too-large'],
  ])('with %s are refused', async (_name, bytes, code) => {
    await expect(collect(chunked(bytes, 64), 1000)).rejects.toMatchObject({
      name: 'FrameError',
      code,
    });
  });

  it('cancel their stream when the reader leaves early', async () => {
    let canceled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) =>
        controller.enqueue(encodeTokensFrame({ choice: 0, tokens: [{ id: 1 }] })),
      cancel: () => {
        canceled = true;
      },
    });
    for await (const frame of readFrames(endless)) {
      expect(frame.type).toBe('tokens');
      break;
    }
    expect(canceled).toBe(true);
  });

  it.each([0, 1, 5])(
    'carry tokens with log-probabilities and %i others beside each',
    async (beside) => {
      const scored = (id: number) => ({ id, logprob: Math.fround(-id / 7) });
      const tokens = [11, 50118, 0xffff_ffff].map((id) => ({
        id,
        scored: {
          logprob: scored(id).logprob,
          top: Array.from({ length: beside }, (_, i) => scored(i)),
        },
      }));
      const [frame] = await collect(chunked(encodeTokensFrame({ choice: 7, tokens }), 5));
      expect(decodeTokens(frame!.payload)).toEqual({ choice: 7, tokens });
    },
  );

  it('with a malformed payload are refused', () => {
    expect(() => decodeTokens(Uint8Array.of(1, 2, 3))).toThrow(FrameError);
    expect(() => decodeTokens(Uint8Array.of(0, 0, 0, 0, 1, 2, 3))).toThrow(FrameError);
    expect(() => decodeTokens(Uint8Array.of(0, 0, 2, 0, 1, 2, 3, 4))).toThrow(FrameError);
    expect(() => decodeJson(Uint8Array.of(0xff))).toThrow(FrameError);
  });
});

describe('any frames', () => {
  const types = Object.keys(FRAME_TYPES) as FrameType[];
  const frames = fc.array(
    fc.record({ type: fc.constantFrom(...types), payload: fc.uint8Array({ maxLength: 40 }) }),
    { maxLength: 6 },
  );
  /** Sizes of the chunks in which the bytes come, over and over. */
  const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });

  function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
    let at = 0;
    for (let i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length]!;
      yield bytes.slice(at, at + size);
      at += size;
    }
  }

  it('are the same after a round trip, however the bytes are cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(frames, cuts, async (sent, sizes) => {
        const bytes = concat(sent.map(({ type, payload }) => encodeFrame(type, payload)));
        const received = await collect(ReadableStream.from(cut(bytes, sizes)));
        expect(received.map(({ type, payload }) => ({ type, payload: payload.slice() }))).toEqual(
          sent,
        );
      }),
    );
  });

  it('are truncated when the stream ends anywhere but between two of them', async () => {
    await fc.assert(
      fc.asyncProperty(frames, fc.nat(300), cuts, async (sent, length, sizes) => {
        const parts = sent.map(({ type, payload }) => encodeFrame(type, payload));
        const ends = parts.map((_, i) => concat(parts.slice(0, i + 1)).length);
        const bytes = concat(parts).subarray(0, length);
        const whole = [0, ...ends].includes(bytes.length);
        const result = await collect(ReadableStream.from(cut(bytes, sizes))).then(
          (read) => read.length,
          (error: FrameError) => error.code,
        );
        expect(result).toBe(whole ? ends.filter((end) => end <= bytes.length).length : 'truncated');
      }),
    );
  });

  it('from arbitrary bytes are frames or a FrameError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), cuts, async (bytes, sizes) => {
        const result = await collect(ReadableStream.from(cut(bytes, sizes)), 30).catch(
          (error: unknown) => error,
        );
        if (Array.isArray(result)) {
          const length = (result as Frame[]).reduce((sum, { payload }) => {
            return sum + FRAME_HEADER_BYTES + payload.length;
          }, 0);
          expect(length).toBe(bytes.length);
        } else expect(result).toBeInstanceOf(FrameError);
      }),
    );
  });
});

describe('any tokens', () => {
  const id = fc.nat(0xffff_ffff);
  const logprob = fc.float({ max: 0, noNaN: true });
  const scoredToken = fc.record({ id, logprob });
  /** All tokens of a frame have the same number of alternatives. */
  const payloads = fc.nat(20).chain((beside): fc.Arbitrary<TokensPayload> => {
    const top = fc.array(scoredToken, { minLength: beside, maxLength: beside });
    const scored = fc.record({ id, scored: fc.record({ logprob, top }) });
    const tokens = fc.oneof(fc.array(fc.record({ id })), fc.array(scored, { maxLength: 5 }));
    return fc.record({ choice: fc.nat(0xffff), tokens });
  });

  it('are the same after a round trip', () => {
    fc.assert(
      fc.property(payloads, (payload) => {
        const frame = encodeTokensFrame(payload).subarray(FRAME_HEADER_BYTES);
        expect(decodeTokens(frame)).toEqual(payload);
      }),
    );
  });
});

describe('a reader of frames', () => {
  /** A stream of endless empty frames that counts what is taken of it. */
  function flood() {
    let taken = 0;
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          taken += 1;
          controller.enqueue(encodeFrame('image', new Uint8Array()));
        },
      },
      { highWaterMark: 0 },
    );
    return { stream, taken: () => taken };
  }

  it('takes nothing from the stream that nobody asked for', async () => {
    const { stream, taken } = flood();
    await using reader = new FrameReader(stream);
    expect(await reader.head()).toEqual({ type: 'image', length: 0 });
    expect(await reader.payload()).toHaveLength(0);
    expect(taken()).toBe(1);
  });

  it('gives a payload whole, however small the chunks are in which it comes', async () => {
    const payload = Uint8Array.from({ length: 50_000 }, (_, i) => i % 251);
    const bytes = encodeFrame('image', payload);
    let at = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at === bytes.length) controller.close();
        else controller.enqueue(bytes.subarray(at, ++at));
      },
    });
    await using reader = new FrameReader(stream);
    expect(await reader.head()).toEqual({ type: 'image', length: payload.length });
    expect(await reader.payload()).toEqual(payload);
    expect(await reader.isAtEnd()).toBe(true);
  });
});
