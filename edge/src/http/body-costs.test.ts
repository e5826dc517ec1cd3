import { Buffer } from 'node:buffer';
import { describe, expect, it, vi } from 'vitest';
import { newImage, startEdge } from '../testing/edge.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';
import {
  type BodyCost,
  inflatingCost,
  parsingCost,
  queryCost,
  tokenizingCost,
} from './body-costs.ts';
import { parseHeaderValue } from './header-value.ts';

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const JSON_TYPE = parseHeaderValue('application/json');

/** A form with files of so many parts. */
function formOf(parts: number): [Uint8Array, ReturnType<typeof parseHeaderValue>] {
  const body = '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(parts);
  return [new TextEncoder().encode(body), parseHeaderValue('multipart/form-data; boundary=b')];
}

/** A form of one part with such a content. */
function formWith(content: string, head = ''): ReturnType<typeof formOf> {
  const body = `--b\r\ncontent-disposition: form-data; name="a"\r\n${head}\r\n${content}\r\n--b--\r\n`;
  return [Buffer.from(body, 'latin1'), formOf(0)[1]];
}

const BASE64 = 'A'.repeat(100_000);
const PNG_BASE64 = Buffer.from(newImage(60_000)).toString('base64');

const FORM_TYPE = 'application/x-www-form-urlencoded';
const bytesOf = (text: string) => new TextEncoder().encode(text);
const ofCommas = (head: string) => bytesOf(head + ','.repeat(9990));
const utf16 = (text: string) => new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le'));

describe('cheap is', () => {
  it.each([
    ['an image', parsingCost(newImage(2_000_000), parseHeaderValue('image/png'))],
    ['an image in JSON', parsingCost(encode({ image: 'A'.repeat(3_000_000) }), JSON_TYPE)],
    ['a question', tokenizingCost({ question: 'what is it?', image: 'A'.repeat(3_000_000) })],
    ['a form with an image and some fields', parsingCost(...formOf(12))],
    ['an image that is read', tokenizingCost({ source: { kind: 'bytes', bytes: newImage() } })],
    ['a compressed request without an image', inflatingCost(2 ** 20)],
    ['images of Ollama', tokenizingCost({ messages: [{ images: [BASE64, BASE64] }] })],
    ['images in a list of inputs', tokenizingCost({ input: [`data:image/png;base64,${BASE64}`] })],
    ['an image of Hugging Face', tokenizingCost({ inputs: PNG_BASE64 })],
    ['a query', queryCost('?question=what+is+it,+and+where?&max_tokens=9')],
    [
      'a form with a file of commas',
      parsingCost(...formWith(`\x89PNG\r\n\x1a\n${',1'.repeat(9000)}`)),
    ],
    ['a photo', parsingCost(newImage(8_000_000), parseHeaderValue('image/jpeg'))],
    ['an object of commas, which nobody parses', parsingCost(ofCommas('{'), JSON_TYPE)],
    ['a list of commas', parsingCost(ofCommas('{"a":['), JSON_TYPE)],
    ['what begins as no object', parsingCost(bytesOf(`1${',1'.repeat(9000)}`), JSON_TYPE)],
    ['a form that is none', parsingCost(ofCommas('a='), parseHeaderValue(FORM_TYPE))],
  ])('%s', (_, { ms }) => {
    expect(isDear(ms)).toBe(false);
  });
});

describe('dear is', () => {
  const nine = Array.from({ length: 9000 }, (_, n) => n);
  it.each([
    ['JSON of thousands of values', parsingCost(encode(nine), JSON_TYPE)],
    [
      'JSON of thousands of members',
      parsingCost(encode(Object.fromEntries(nine.map((n) => [`max_toke${n}`, 1]))), JSON_TYPE),
    ],
    [
      'such JSON after white space',
      parsingCost(bytesOf(`\ufeff \n${JSON.stringify(nine)}`), JSON_TYPE),
    ],
    ['such JSON in UTF-16', parsingCost(utf16(JSON.stringify(nine)), JSON_TYPE)],
    ['such JSON, whatever it is called', parsingCost(encode(nine), parseHeaderValue(FORM_TYPE))],
    ['such JSON that is called a form', parsingCost(encode(nine), formOf(0)[1])],
    [
      'such JSON that begins as an image would',
      parsingCost(encode({ aaaftyp: 1, nine }).slice(), JSON_TYPE),
    ],
    [
      'such JSON behind a text of commas',
      parsingCost(encode({ a: ','.repeat(20_000), nine }), JSON_TYPE),
    ],
    [
      'an image of twenty megabytes',
      parsingCost(newImage(20_000_000), parseHeaderValue('image/jpeg')),
    ],
    ['a form of a thousand parts', parsingCost(...formOf(1000))],
    ['JSON in a query', queryCost(`?history=[${'{},'.repeat(5000)}{}]`)],
    ['such JSON, encoded', queryCost(`?history=%5B${'%7B%7D%2c'.repeat(5000)}%7B%7D%5D`)],
    ['a query of long names', queryCost(`?${`history${'[i]'.repeat(66)}=1&`.repeat(999)}`)],
    [
      'JSON in a form',
      parsingCost(bytesOf(`history=[${'{},'.repeat(5000)}{}]`), parseHeaderValue(FORM_TYPE)),
    ],
    ['JSON in a part', parsingCost(...formWith(`[${'{},'.repeat(5000)}{}]`))],
    [
      'JSON in a part, encoded',
      parsingCost(
        ...formWith(btoa(`[${'{},'.repeat(20_000)}{}]`), 'content-transfer-encoding: base64\r\n'),
      ),
    ],
    ['prompts, however they begin', tokenizingCost({ prompt: `data:image/png;base64,${BASE64}` })],
    ['64 long texts', tokenizingCost({ texts: Array(64).fill('word '.repeat(800)) })],
    ['thousands of texts', tokenizingCost({ input: Array(2000).fill('what is on the image?') })],
    ['a long conversation', tokenizingCost({ messages: [{ content: 'word '.repeat(10_000) }] })],
    ['what becomes tens of megabytes', inflatingCost(29_000_000)],
  ])('%s', (_, { ms }) => {
    expect(isDear(ms)).toBe(true);
  });
});

it('a boundary that is too long is not looked for: a body that is all but its end takes seconds', () => {
  const body = new Uint8Array(100_000).fill('-'.charCodeAt(0));
  const [search] = [vi.spyOn(Buffer.prototype, 'indexOf')];
  try {
    const long = `multipart/form-data; boundary=x${'-'.repeat(3999)}`;
    parsingCost(body, parseHeaderValue(long));
    const needles = search.mock.calls.map(([needle]) => Buffer.from(String(needle)).length);
    expect(needles.filter((length) => length > 210)).toEqual([]);
  } finally {
    search.mockRestore();
  }
});

const nineThousand = Array.from({ length: 9000 }, (_, n) => n);
it.each<[string, BodyCost, string]>([
  ['a photo', parsingCost(newImage(20_000_000), parseHeaderValue('image/jpeg')), 'a smaller image'],
  [
    'an image in JSON',
    parsingCost(encode({ image: 'A'.repeat(9e6) }), JSON_TYPE),
    'smaller images',
  ],
  ['values', parsingCost(encode(nineThousand), JSON_TYPE), 'fewer values'],
  ['a form', parsingCost(...formOf(1000)), 'fewer parts'],
  ['texts', tokenizingCost(['a']), 'fewer or shorter texts'],
  ['what is compressed', inflatingCost(9e6), 'a smaller body'],
])('%s that cannot be read now should be replaced by less of it', (_, { remedy }, expected) => {
  expect(remedy).toBe(expected);
});

it('dear requests wait for their turn, and cheap ones do not', async () => {
  const { post } = startEdge();
  const turn = Promise.withResolvers<void>();
  const asked: number[] = [];
  const turns: unknown[] = [];
  vi.spyOn(dearWork, 'turn').mockImplementation(async (_, ms, options) => {
    asked.push(ms);
    turns.push(options);
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
  const signal = expect.any(AbortSignal);
  expect(turns).toMatchObject([{ remedy: 'fewer or shorter texts', signal }]);
});
