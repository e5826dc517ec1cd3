import { describe, expect, it } from 'vitest';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  encodeTokensFrame,
  type Frame,
  FrameError,
  readFrames,
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
    'come through whole in chunks of %i bytes',
    async (size) => {
      const [info, embeddings, image, last] = await collect(chunked(message, size));
      expect(decodeJson(info!.payload)).toEqual({ width: 3, height: 2, format: 'png' });
      expect(embeddings).toEqual({ type: 'embeddings', payload: big });
      expect(image!.payload).toHaveLength(0);
      expect(decodeTokens(last!.payload)).toEqual({ choice: 3, tokens });
    },
  );

  it.each([1, 7, 9, message.length - 1])('cut after %i bytes are an error', async (length) => {
    await expect(collect(chunked(message.slice(0, length), 64))).rejects.toThrow(FrameError);
  });

  it.each([
    ['an unknown type', Uint8Array.of(99, 2, 0, 0, 0, 0, 0, 0)],
    ['another version', Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0)],
    ['a payload over the limit', Uint8Array.of(1, 2, 0, 0, 255, 255, 0, 0)],
  ])('with %s are refused', async (_name, bytes) => {
    await expect(collect(chunked(bytes, 64), 1000)).rejects.toThrow(FrameError);
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

  it('refuse tokens and JSON that are none', () => {
    expect(() => decodeTokens(Uint8Array.of(1, 2, 3))).toThrow(FrameError);
    expect(() => decodeTokens(Uint8Array.of(0, 0, 0, 0, 1, 2, 3))).toThrow(FrameError);
    expect(() => decodeTokens(Uint8Array.of(0, 0, 2, 0, 1, 2, 3, 4))).toThrow(FrameError);
    expect(() => decodeJson(Uint8Array.of(0xff))).toThrow(FrameError);
  });
});
