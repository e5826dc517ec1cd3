import { Buffer } from 'node:buffer';
import { AnswerRequest } from '@blip2/shared/schemas/answers';
import { describe, expect, it, vi } from 'vitest';
import { atOnce, inPieces, type Steps } from '../pauses.ts';
import { newImage, startEdge } from '../testing/edge.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';
import {
  type BodyCost,
  formCost as formSteps,
  imageCost,
  inflatingCost,
  jsonCost as jsonSteps,
  queryCost,
  tokenizingCost,
  urlEncodedCost as urlEncodedSteps,
} from './body-costs.ts';
import { asJson, asUrlEncoded, type Reading } from './body-reading.ts';

const formCost = (...args: Parameters<typeof formSteps>) => atOnce(formSteps(...args));
const jsonCost = (...args: Parameters<typeof jsonSteps>) => atOnce(jsonSteps(...args));
const urlEncodedCost = (body: Uint8Array) => atOnce(urlEncodedSteps(body));

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** A form with files of so many parts. */
function formOf(parts: number): [body: Uint8Array, boundary: string] {
  const body = '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(parts);
  return [new TextEncoder().encode(body), 'b'];
}

/** A form of one part with such a content. */
function formWith(content: string, head = ''): ReturnType<typeof formOf> {
  const body = `--b\r\ncontent-disposition: form-data; name="a"\r\n${head}\r\n${content}\r\n--b--\r\n`;
  return [Buffer.from(body, 'latin1'), 'b'];
}

const BASE64 = 'A'.repeat(100_000);
const PNG_BASE64 = Buffer.from(newImage(60_000)).toString('base64');

const bytesOf = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const ofCommas = (head: string) => bytesOf(head + ','.repeat(9990));
const utf16 = (text: string) => new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le'));

describe('cheap is', () => {
  it.each([
    ['an image', imageCost(newImage(2_000_000))],
    ['an image in JSON', jsonCost(encode({ image: 'A'.repeat(3_000_000) }))],
    ['a question', tokenizingCost({ question: 'what is it?', image: 'A'.repeat(3_000_000) })],
    ['a form with an image and some fields', formCost(...formOf(12))],
    ['an image that is read', tokenizingCost({ source: { kind: 'bytes', bytes: newImage() } })],
    ['a compressed request without an image', inflatingCost(2 ** 20)],
    ['images of Ollama', tokenizingCost({ messages: [{ images: [BASE64, BASE64] }] })],
    ['images in a list of inputs', tokenizingCost({ input: [`data:image/png;base64,${BASE64}`] })],
    ['an image of Hugging Face', tokenizingCost({ inputs: PNG_BASE64 })],
    ['a query', queryCost('?question=what+is+it,+and+where?&max_tokens=9')],
    [
      'a form with a file of commas',
      formCost(...formWith(`\x89PNG\r\n\x1a\n${',1'.repeat(9000)}`)),
    ],
    ['a photo', imageCost(newImage(8_000_000))],
    ['an object of commas, which nobody parses', jsonCost(ofCommas('{'))],
    ['a list of commas', jsonCost(ofCommas('{"a":['))],
    ['what begins as no object', jsonCost(bytesOf(`1${',1'.repeat(9000)}`))],
    ['a form that is none', urlEncodedCost(ofCommas('a='))],
  ])('%s', (_, { ms }) => {
    expect(isDear(ms)).toBe(false);
  });
});

describe('dear is', () => {
  const nine = Array.from({ length: 9000 }, (_, n) => n);
  it.each([
    ['JSON of thousands of values', jsonCost(encode(nine))],
    [
      'JSON of thousands of members',
      jsonCost(encode(Object.fromEntries(nine.map((n) => [`max_toke${n}`, 1])))),
    ],
    ['such JSON after white space', jsonCost(bytesOf(`\ufeff \n${JSON.stringify(nine)}`))],
    ['such JSON in UTF-16', jsonCost(utf16(JSON.stringify(nine)), 'utf-16le')],
    ['such JSON that begins as an image would', jsonCost(encode({ aaaftyp: 1, nine }).slice())],
    ['such JSON behind a text of commas', jsonCost(encode({ a: ','.repeat(20_000), nine }))],
    ['an image of twenty megabytes', imageCost(newImage(20_000_000))],
    ['a form of a thousand parts', formCost(...formOf(1000))],
    ['JSON in a query', queryCost(`?history=[${'{},'.repeat(5000)}{}]`)],
    ['such JSON, encoded', queryCost(`?history=%5B${'%7B%7D%2c'.repeat(5000)}%7B%7D%5D`)],
    ['a query of long names', queryCost(`?${`history${'[i]'.repeat(66)}=1&`.repeat(999)}`)],
    ['JSON in a form', urlEncodedCost(bytesOf(`history=[${'{},'.repeat(5000)}{}]`))],
    ['JSON in a part', formCost(...formWith(`[${'{},'.repeat(5000)}{}]`))],
    [
      'JSON in a part, encoded',
      formCost(
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
    formCost(body, `x${'-'.repeat(3999)}`);
    const needles = search.mock.calls.map(([needle]) => Buffer.from(String(needle)).length);
    expect(needles.filter((length) => length > 210)).toEqual([]);
  } finally {
    search.mockRestore();
  }
});

const nineThousand = Array.from({ length: 9000 }, (_, n) => n);
it.each<[string, BodyCost, string]>([
  ['a photo', imageCost(newImage(20_000_000)), 'a smaller image'],
  ['an image in JSON', jsonCost(encode({ image: 'A'.repeat(9e6) })), 'smaller images'],
  ['values', jsonCost(encode(nineThousand)), 'fewer values'],
  ['a form', formCost(...formOf(1000)), 'fewer parts'],
  ['texts', tokenizingCost(['a']), 'fewer or shorter texts'],
  ['what is compressed', inflatingCost(9e6), 'a smaller body'],
])('%s that cannot be read now should be replaced by less of it', (_, { remedy }, expected) => {
  expect(remedy).toBe(expected);
});

describe('3.5 MB of what costs', () => {
  const BYTES = 3_500_000;
  const all = (text: string) => text.repeat(Math.floor(BYTES / text.length));
  const encoded = (content: string) => urlEncodedSteps(bytesOf(`a=${content}`));
  const json = (content: string) => jsonSteps(bytesOf(`{"image":"${content}"}`));
  const form = (content: string, head?: string) => formSteps(...formWith(content, head));

  it.each<[string, Steps<BodyCost>, number]>([
    ['white space in a form', encoded(`[${all(' ')}`), 100],
    ['white space before JSON in a form', encoded(all('+')), 100],
    ['escapes in a form', encoded(`%5B${all('%41')}`), 100],
    ['strings in a form', encoded(`[${all('"aaaaaa"')}]`), 100],
    ['a thousand fields', encoded(all(`&a=[${'1'.repeat(3500)}`)), 900],
    ['an image of escapes', json(all('\\n')), 100],
    ['JSON of strings', jsonSteps(bytesOf(all('"aaaaaa" '))), 30],
    ['JSON in another charset', jsonSteps(bytesOf(all('ab')), 'latin1'), 100],
    ['a thousand parts', formSteps(bytesOf(all(`--b${'-'.repeat(3500)}`)), 'b'), 900],
    ['a part of white space', form(`${all(' ')}`), 60],
    ['a part of JSON', form(`[${all(' ')}`), 30],
  ])('is counted in steps, none of which is long: %s', (_, steps, least) => {
    const works = [];
    for (const work of steps) works.push(work);
    expect(works.length).toBeGreaterThanOrEqual(least);
    expect(Math.max(...works)).toBeLessThanOrEqual(2 ** 14);
  });

  it('lets others come between, and an image does not', async () => {
    const wait = vi.spyOn(scheduler, 'wait');
    try {
      const pauses = async ({ cost }: Pick<Reading<unknown>, 'cost'>) => {
        wait.mockClear();
        await inPieces(cost());
        return wait.mock.calls.length;
      };
      const form = asUrlEncoded(bytesOf(`history=[${all(' ')}`), undefined, AnswerRequest);
      expect(await pauses(form)).toBeGreaterThanOrEqual(12);
      const image = bytesOf(JSON.stringify({ image: all('AAAA'), question: 'what is it?' }));
      expect(await pauses(asJson(image, undefined))).toBe(0);
    } finally {
      wait.mockRestore();
    }
  });
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
