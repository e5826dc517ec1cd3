import { describe, expect, it, vi } from 'vitest';
import { newImage, startEdge } from '../testing/edge.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';
import { inflatingMs, parsingMs, tokenizingMs } from './body-costs.ts';
import { parseHeaderValue } from './header-value.ts';

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const JSON_TYPE = parseHeaderValue('application/json');

/** A form with files of so many parts. */
function formOf(parts: number): [Uint8Array, ReturnType<typeof parseHeaderValue>] {
  const body = '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(parts);
  return [new TextEncoder().encode(body), parseHeaderValue('multipart/form-data; boundary=b')];
}

describe('cheap is', () => {
  it.each([
    ['an image', parsingMs(newImage(2_000_000), parseHeaderValue('image/png'))],
    ['an image in JSON', parsingMs(encode({ image: 'A'.repeat(3_000_000) }), JSON_TYPE)],
    ['a question', tokenizingMs({ question: 'what is it?', image: 'A'.repeat(3_000_000) })],
    ['a form with an image and some fields', parsingMs(...formOf(12))],
    ['an image that is read', tokenizingMs({ source: { kind: 'bytes', bytes: newImage() } })],
    ['a compressed request without an image', inflatingMs(2 ** 20)],
  ])('%s', (_, ms) => {
    expect(isDear(ms)).toBe(false);
  });
});

describe('dear is', () => {
  const nine = Array.from({ length: 9000 }, (_, n) => n);
  it.each([
    ['JSON of thousands of values', parsingMs(encode(nine), JSON_TYPE)],
    [
      'JSON of thousands of members',
      parsingMs(encode(Object.fromEntries(nine.map((n) => [`max_toke${n}`, 1]))), JSON_TYPE),
    ],
    ['a form of a thousand parts', parsingMs(...formOf(1000))],
    ['64 long texts', tokenizingMs({ texts: Array(64).fill('word '.repeat(800)) })],
    ['thousands of texts', tokenizingMs({ input: Array(2000).fill('what is on the image?') })],
    ['a long conversation', tokenizingMs({ messages: [{ content: 'word '.repeat(10_000) }] })],
    ['what becomes tens of megabytes', inflatingMs(29_000_000)],
  ])('%s', (_, ms) => {
    expect(isDear(ms)).toBe(true);
  });
});

it('dear requests wait for their turn, and cheap ones do not', async () => {
  const { post } = startEdge();
  const turn = Promise.withResolvers<void>();
  const asked: number[] = [];
  vi.spyOn(dearWork, 'turn').mockImplementation(async (_, ms) => {
    asked.push(ms);
    await turn.promise;
  });
  const texts = Array.from({ length: 64 }, (_, n) => `${n} word`.repeat(300));
  let hasReply = false;
  const dear = post('/v1/match', { image: { sha256: '0'.repeat(64) }, texts }).finally(() => {
    hasReply = true;
  });
  await expect.poll(() => asked.map(isDear)).toEqual([true]);
  expect((await post('/v1/captions', newImage())).status).toBe(200);
  expect(hasReply).toBe(false);
  turn.resolve();
  expect(await (await dear).json()).toMatchObject({ type: '/problems/prompt-too-long' });
  expect(asked).toHaveLength(1);
});
