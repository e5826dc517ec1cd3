/** Files of images through the GPU worker: each is decoded in bounded time, or refused. */
import { encodeFrame, encodeJsonFrame, FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import type * as fc from 'fast-check';
import { imageFiles } from '../generate/image-files.ts';
import { exchange } from '../http/exchange.ts';
import { checkFrames } from '../http/worker-reply.ts';
import { DEADLINE_MS, HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';

export const IMAGES: Target<Uint8Array> = {
  name: 'images',
  about: 'images of all formats through the GPU worker, damaged in bytes, parts and sizes',
  share: 8,
  lanes: 2,
  open: async (shared) => {
    const { stack, watch } = await shared.stack();
    const { workerUrl, model } = stack;
    const request = {
      kind: 'embed',
      embedding: 'query',
      request_id: 'fuzz',
      deadline_ms: DEADLINE_MS,
      revision: model.revision,
    };
    const head = encodeJsonFrame('request', request);
    const headers: [string, string][] = [['content-type', FRAMES_MEDIA_TYPE]];
    const inputs: fc.Arbitrary<Uint8Array> = await imageFiles();
    return {
      inputs,
      run: async (image) => {
        const body = Buffer.concat([head, encodeFrame('image', image)]);
        const input = {
          method: 'POST',
          target: '/v1/run',
          headers,
          body,
          cuts: [],
          leaveAfter: null,
        };
        const reply = await exchange(workerUrl, input, HANG_MS);
        return reply === null ? 'closed' : await checkFrames(reply, { sent: '' });
      },
      settle: await watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};
