/** Frames between edge and GPU worker: what was encoded comes back, and other bytes are refused as such. */
import { encodeFrame, encodeTokensFrame, FRAME_TYPES, type FrameType } from '@blip2/shared/frames';
import * as fc from 'fast-check';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import type { FramesInput } from '../subjects/frames.ts';
import type { Target } from '../target.ts';
import { ThreadHost } from '../thread-host.ts';

const type = fc.constantFrom(...(Object.keys(FRAME_TYPES) as FrameType[]));
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc.json({ maxDepth: 2 }).map((text) => new TextEncoder().encode(text)),
  fc.nat(20_000).map((length) => new Uint8Array(length)),
);
const frames = fc.array(fc.record({ type, payload }), { maxLength: 8 });
const cuts = fc.array(fc.nat(2 ** 16), { maxLength: 12 });

const id = fc.nat({ max: 0xffff_ffff });
const logprob = fc.float({ noDefaultInfinity: true, noNaN: true });
const scored = fc.record({ id, logprob });
const tokens = fc.oneof(
  fc.record({ choice: fc.nat(0xffff), tokens: fc.array(fc.record({ id }), { maxLength: 20 }) }),
  fc.nat(6).chain((top) =>
    fc.record({
      choice: fc.nat(0xffff),
      tokens: fc.array(
        fc.record({
          id,
          scored: fc.record({ logprob, top: fc.array(scored, { minLength: top, maxLength: top }) }),
        }),
        { minLength: 1, maxLength: 20 },
      ),
    }),
  ),
);

const encoded = fc.oneof(
  frames.map((all) => Buffer.concat(all.map((frame) => encodeFrame(frame.type, frame.payload)))),
  tokens.map((value) => encodeTokensFrame(value)),
);
const spoiled = fc
  .tuple(encoded, fc.array(byteEdit(16), { minLength: 1, maxLength: 4 }))
  .map(([bytes, edits]) => editBytes(bytes, edits));

const inputs: fc.Arbitrary<FramesInput> = fc.oneof(
  fc.record({ kind: fc.constant('frames' as const), frames, cuts }),
  fc.record({ kind: fc.constant('tokens' as const), value: tokens }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('bytes' as const),
      bytes: fc.oneof({ weight: 3, arbitrary: spoiled }, fc.uint8Array({ maxLength: 200 })),
      cuts,
    }),
  },
);

export const FRAMES: Target<FramesInput> = {
  name: 'frames',
  about: 'decoders of frames and of their payloads, bytes in chunks of any size',
  share: 24,
  lanes: 1,
  open: async () => {
    const host = new ThreadHost('frames');
    return {
      inputs,
      run: (input) => host.run(input),
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
  },
};
