import { gzipSync } from 'node:zlib';
import { afterEach, expect, it, vi } from 'vitest';
import { newImage, startEdge } from '../testing/edge.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';
import { WorkInHand } from '../work-in-hand.ts';
import { asJson, type Reading } from './body-reading.ts';
import { holdBody } from './held-bodies.ts';
import { readDecoded } from './read-decoded.ts';

afterEach(() => void vi.restoreAllMocks());

/** Turns that were asked for, milliseconds each. */
function turnsTaken(turn = Promise.resolve()): number[] {
  const asked: number[] = [];
  vi.spyOn(dearWork, 'turn').mockImplementation(async (_, ms) => {
    asked.push(ms);
    await turn;
  });
  return asked;
}

/** Reads JSON of 4000 values and so many characters. */
async function readJson(characters: number, claimedMs = 0, client = 'adds up') {
  const body = JSON.stringify({ values: Array(4000).fill(1), text: 'x'.repeat(characters) });
  const request = new Request('http://edge.test', { method: 'POST', body });
  const limits = { maxHeldBytes: 2 ** 20, deadlineMs: 30_000, waitUntil: () => {} };
  await readDecoded(request, 2 ** 20, { ...limits, client, claimedMs }, (bytes) =>
    asJson(bytes, undefined),
  );
}

it('a request is dear whose pieces are so together', async () => {
  const asked = turnsTaken();
  await readJson(100);
  expect(asked).toEqual([]);
  await readJson(10_000);
  expect(asked.map(isDear)).toEqual([true]);
  await readJson(100, 10);
  expect(asked.map(isDear)).toEqual([true, true]);
});

it('many cheap requests of one client take turns, and those of another none', async () => {
  const asked = turnsTaken();
  for (let n = 0; n < 20; n++) await readJson(10, 0, 'floods');
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.filter(isDear)).toEqual([]);
  asked.length = 0;
  await readJson(10, 0, 'has one');
  expect(asked).toEqual([]);
});

it.each(['/v1/answers', '/v1/jobs'])('the query of %s waits for its turn', async (path) => {
  const { post } = startEdge();
  const asked = turnsTaken();
  await post(`${path}?question=a&history=[${'{},'.repeat(5100)}{}]`, newImage());
  expect(asked.filter(isDear)).toHaveLength(1);
});

it('texts are made tokens of a turn at a time', async () => {
  const { post } = startEdge();
  const asked = turnsTaken();
  // Words that are too long are a token each.
  const text = Array.from({ length: 64 }, () => 'x'.repeat(1000));
  const reply = await post('/v1/embeddings', { kind: 'itc', text });
  expect(reply.status).toBe(200);
  // That of the request, and one after each 25,000 characters.
  expect(asked.map(isDear)).toEqual([true, true, true]);
});

const LIMITS = { maxHeldBytes: 2 ** 24, deadlineMs: 30_000, waitUntil: () => {} };

/** Reads bodies all at once. @returns what happens to each, in its order */
async function happenings(bodies: readonly BodyInit[], headers = {}): Promise<string[]> {
  const happened: string[] = [];
  const readingOf = (name: string): Reading<null> => {
    happened.push(`${name} is there`);
    return {
      *cost() {
        for (let step = 0; step < 4; step++) {
          happened.push(`${name} is looked at`);
          yield 2 ** 15;
        }
        happened.push(`${name} has a price`);
        return { ms: 0, remedy: '' };
      },
      read: () => null,
    };
  };
  const reads = bodies.map(async (body, number) => {
    const request = new Request('http://edge.test', { method: 'POST', body, headers });
    const limits = { ...LIMITS, client: `sends ${number}` };
    await readDecoded(request, 2 ** 22, limits, () => readingOf(`${number}`));
  });
  await Promise.all(reads);
  return happened;
}

const LOOKS = ['at', 'at', 'at', 'at', 'price'];
const lastWords = (happened: string[]) => happened.map((what) => what.split(' ').at(-1));
const looksIn = (happened: string[]) =>
  lastWords(happened.filter((what) => !what.endsWith('there')));

it('few bytes that become many take turns, and are looked at one at a time', async () => {
  const asked = turnsTaken();
  const coded = gzipSync('x'.repeat(2 ** 20));
  expect(coded.length).toBeLessThan(2000);
  const happened = await happenings([coded, coded, coded], { 'content-encoding': 'gzip' });
  expect(looksIn(happened)).toEqual([...LOOKS, ...LOOKS, ...LOOKS]);
  expect(asked.map(isDear)).toEqual([true, true, true]);
});

/** Blocks of zlib's that are stored, and empty: of some there is only work. */
function emptyBlocks(bytes: number): Uint8Array<ArrayBuffer> {
  const blocks = new Uint8Array(bytes - (bytes % 5));
  for (let at = 0; at < blocks.length; at += 5) blocks.set([0, 0, 0, 0xff, 0xff], at);
  blocks[blocks.length - 5] = 1;
  return blocks;
}

it.each([
  [8000, 0],
  [9000, 1],
])('%i compressed bytes of which nothing comes take %i turns', async (bytes, turns) => {
  const asked = turnsTaken();
  await happenings([emptyBlocks(bytes)], { 'content-encoding': 'deflate' });
  expect(asked.map(isDear)).toEqual(Array(turns).fill(true));
});

it('500,000 compressed bytes of which nothing comes take two turns, or three where they take long', async () => {
  const asked = turnsTaken();
  await happenings([emptyBlocks(500_000)], { 'content-encoding': 'deflate' });
  expect([2, 3]).toContain(asked.filter(isDear).length);
});

it('leaves its place once for all turns in which it is inflated', async () => {
  const asked = turnsTaken();
  const place = new WorkInHand(1).take();
  const take = vi.spyOn(place, 'take');
  const headers = { 'content-encoding': 'deflate' };
  const body = emptyBlocks(500_000);
  const request = new Request('http://edge.test', { method: 'POST', body, headers });
  const limits = { ...LIMITS, client: 'leaves once', work: place };
  await readDecoded(request, 2 ** 22, limits, () => ({
    // biome-ignore lint/correctness/useYield: it costs nothing
    *cost() {
      return { ms: 0, remedy: '' };
    },
    read: () => null,
  }));
  expect(asked.length).toBeGreaterThan(1);
  // After its upload, and when it is inflated.
  expect(take).toHaveBeenCalledTimes(2);
});

it('what is inflated without a turn counts for its client', async () => {
  const asked = turnsTaken();
  const headers = { 'content-encoding': 'deflate' };
  // All of them are of the client with the same number.
  for (let n = 0; n < 150; n++) await happenings([emptyBlocks(8000)], headers);
  expect(asked.length).toBeGreaterThan(10);
});

it('what inflates counts as memory before it is looked at', async () => {
  turnsTaken();
  const coded = gzipSync('x'.repeat(2 ** 20));
  const request = new Request('http://edge.test', {
    method: 'POST',
    body: coded,
    headers: { 'content-encoding': 'gzip' },
  });
  const others = holdBody(2 ** 20, { client: 'others', ms: 60_000 });
  others.add(2 ** 20);
  const limits = { ...LIMITS, maxHeldBytes: 2 ** 20, client: 'inflates' };
  const readingOf = vi.fn();
  await expect(readDecoded(request, 2 ** 22, limits, readingOf)).rejects.toMatchObject({
    slug: 'overloaded',
  });
  expect(readingOf).not.toHaveBeenCalled();
  others.close();
});

it('what stays short when it is inflated takes no turn', async () => {
  const asked = turnsTaken();
  const coded = gzipSync('x'.repeat(60_000));
  await happenings([coded, coded], { 'content-encoding': 'gzip' });
  expect(asked.filter(isDear)).toEqual([]);
});

it('long bodies are looked at one at a time', async () => {
  const long = 'x'.repeat(2 ** 17);
  const happened = await happenings([long, long, long]);
  expect(looksIn(happened)).toEqual([...LOOKS, ...LOOKS, ...LOOKS]);
});

it('a body counts while it waits for its turn, beyond the deadline of its upload', async () => {
  let time = Date.now();
  vi.spyOn(Date, 'now').mockImplementation(() => time);
  const turn = Promise.withResolvers<void>();
  const asked = turnsTaken(turn.promise);
  const limits = { maxHeldBytes: 2 ** 20, deadlineMs: 100, client: 'held', waitUntil: () => {} };
  const json = `{"image":[${'1,'.repeat(6000)}"${'x'.repeat(900_000)}"]}`;
  const request = new Request('http://edge.test', { method: 'POST', body: json });
  const read = readDecoded(request, 2 ** 20, limits, (bytes) => asJson(bytes, undefined));
  await expect.poll(() => asked).toHaveLength(1);
  time += 4000;
  const other = holdBody(2 ** 20, { client: 'another', ms: 1000 });
  expect(() => other.add(2 ** 20)).toThrow(expect.objectContaining({ slug: 'overloaded' }));
  other.close();
  turn.resolve();
  await read;
});
