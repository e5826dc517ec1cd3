import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApiError } from './errors.ts';
import { encodeFrame, encodeJsonFrame, readFrames } from './frames.ts';
import { decodeEvent, encodeEvent, type GpuEvent } from './gpu-events.ts';

const decoded = async (bytes: Uint8Array): Promise<GpuEvent[]> => {
  const frames = await Array.fromAsync(readFrames(new Blob([new Uint8Array(bytes)]).stream()));
  return frames.map(decodeEvent);
};

const choice = { finish_reason: 'stop', completion_tokens: 3 } as const;

describe('events', () => {
  it.each<[string, GpuEvent]>([
    ['an image', { type: 'imageInfo', image: { width: 3, height: 2, format: 'png' } }],
    ['embeddings', { type: 'embeddings', embeddings: Uint8Array.of(1, 2, 3) }],
    ['tokens', { type: 'tokens', choice: 1, tokens: [{ id: 7 }, { id: 50_118 }] }],
    ['scores', { type: 'scores', scores: [{ itm: 0.5, itc: 0.25 }] }],
    ['texts', { type: 'texts', embeddings: [[1, 0]] }],
    ['the end', { type: 'done', choices: [{ ...choice, score: -1 }], timings_ms: { queue: 1 } }],
    ['a problem', { type: 'error', problem: new ApiError('overloaded', 'busy').toProblem() }],
  ])('of %s are the same after a round trip', async (_name, event) => {
    expect(await decoded(encodeEvent(event))).toEqual([event]);
  });

  it('with embeddings do not share memory with the chunk they came in', async () => {
    const chunk = encodeEvent({ type: 'embeddings', embeddings: Uint8Array.of(1) });
    const [frame] = await Array.fromAsync(readFrames(ReadableStream.from([chunk])));
    const event = frame && decodeEvent(frame);
    chunk.fill(9);
    expect(event).toEqual({ type: 'embeddings', embeddings: Uint8Array.of(1) });
  });
});

describe('frames that are no events', () => {
  it.each<[string, Uint8Array, string]>([
    ['a request', encodeJsonFrame('request', {}), 'unexpected'],
    ['an image', encodeFrame('image', new Uint8Array(1)), 'unexpected'],
    ['JSON of another shape', encodeJsonFrame('done', { choices: 1 }), 'schema'],
    ['a format that is unknown', encodeJsonFrame('imageInfo', { width: 1, height: 1 }), 'schema'],
    ['text instead of JSON', encodeFrame('scores', new TextEncoder().encode('{')), 'json'],
    ['half a token', encodeFrame('tokens', new Uint8Array(5)), 'tokens'],
  ])('%s is refused with its code', async (_name, bytes, code) => {
    await expect(decoded(bytes)).rejects.toMatchObject({ name: 'FrameError', code });
  });

  it('from arbitrary bytes are a FrameError, never another error', () => {
    const types = ['imageInfo', 'tokens', 'scores', 'texts', 'done', 'error'] as const;
    const payloads = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...types), payloads, (type, payload) => {
        try {
          expect(decodeEvent({ type, payload }).type).toBe(type);
        } catch (thrown) {
          expect(thrown).toMatchObject({ name: 'FrameError' });
        }
      }),
    );
  });
});
