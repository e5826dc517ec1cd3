/** Captions through the whole chain, beside requests whose options stand at the ends of their ranges or beyond. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { type TestImage, testImages } from '../support/test-images.ts';

let stack: Stack;
let images: TestImage[];
beforeAll(async () => {
  [stack, images] = await Promise.all([
    startStack({ vars: { REPLY_TTL_HOURS: '0' } }),
    testImages(24),
  ]);
});
afterAll(() => stack?.stop());

type Options = Record<string, unknown>;

async function caption({ bytes }: TestImage, options: Options) {
  const response = await fetch(`${stack.url}/v1/captions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ image: { data: Buffer.from(bytes).toString('base64') }, ...options }),
  });
  const { caption, logprobs, detail } = (await response.json()) as Options;
  return { status: response.status, caption, logprobs, detail };
}

const ENDS: [Options, number][] = [
  [{ repetition_penalty: 1e-300, temperature: 1 }, 400],
  [{ repetition_penalty: 1e300 }, 400],
  [{ max_tokens: 1e15 }, 400],
  [{ no_repeat_ngram_size: 1e9 }, 400],
  [{ repetition_penalty: 0.01, temperature: Number.MIN_VALUE, max_tokens: 40 }, 200],
  [{ repetition_penalty: 100, temperature: 5, top_p: Number.MIN_VALUE, max_tokens: 40 }, 200],
  [{ repetition_penalty: 0.01, num_beams: 4, length_penalty: -10, n: 4 }, 200],
  [{ no_repeat_ngram_size: 1, min_tokens: 100, max_tokens: 100, logprobs: true }, 200],
];

it('24 captions are the same, to the last digit, beside hostile ones', async () => {
  const options = { logprobs: true, top_logprobs: 2 };
  const alone = [];
  for (const image of images) alone.push(await caption(image, options));
  expect(alone.map(({ status }) => status)).toEqual(Array(24).fill(200));
  const hostile = ENDS.map(async ([asked]) => caption(images[0]!, asked));
  const together = images.map((image) => caption(image, options));
  expect(await Promise.all(together)).toEqual(alone);
  const replies = await Promise.all(hostile);
  expect(replies.map(({ status }) => status)).toEqual(ENDS.map(([, status]) => status));
  expect(replies[0]?.detail).toBe('repetition_penalty: must be at least 0.01.');
  expect(replies[2]?.detail).toMatch(/^max_tokens: must be at most 32768/);
});
