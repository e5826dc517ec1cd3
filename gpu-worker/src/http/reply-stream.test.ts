import { ApiError } from '@blip2/shared/errors';
import { decodeJson, readFrames } from '@blip2/shared/frames';
import { expect, it } from 'vitest';
import { replyStream } from './reply-stream.ts';
import { deadlineExceeded } from './worker-errors.ts';

const first = Uint8Array.of();

async function* stuck(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  await new Promise(() => {});
}

it('a reply whose next frame never comes ends at the deadline all the same', async () => {
  const deadline = new AbortController();
  const ends: string[] = [];
  const reply = replyStream(first, stuck(), {
    signal: deadline.signal,
    problemOf: (thrown) => {
      ends.push('failed');
      return ApiError.from(thrown);
    },
    onDone: () => ends.push('done'),
    onCancel: () => ends.push('canceled'),
  });
  const frames = Array.fromAsync(readFrames(reply));
  deadline.abort(deadlineExceeded());
  const [frame] = await frames;
  expect(decodeJson(frame!.payload)).toMatchObject({ type: '/problems/deadline-exceeded' });
  expect(ends).toEqual(['failed']);
});

it('a client that leaves is not held up by a frame that never comes', async () => {
  const ends: string[] = [];
  const reply = replyStream(first, stuck(), {
    signal: new AbortController().signal,
    problemOf: () => null,
    onDone: () => ends.push('done'),
    onCancel: () => ends.push('canceled'),
  });
  await reply.cancel();
  expect(ends).toEqual(['canceled']);
});
