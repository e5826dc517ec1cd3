/** From an image's file and texts through the whole API: the scores of transformers (golden/make/match_scenes.py). */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postJson } from '../../tools/api.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';

type Golden = {
  texts: string[];
  vectors: number[][];
  images: {
    image: string;
    scores: { itm: number; itc: number }[];
    itc: number[][];
    query: number[][];
  }[];
};
type Embeddings = { embeddings: number[][]; cache?: string };

const TOLERANCE = 1e-4;
const place = (path: string) => new URL(path, import.meta.url).pathname;

function expectNear(found: number[][], wanted: number[][]): void {
  expect(found).toHaveLength(wanted.length);
  const [all, others] = [found.flat(), wanted.flat()];
  expect(all).toHaveLength(others.length);
  for (const [i, value] of all.entries()) {
    expect(Math.abs(value - others[i]!)).toBeLessThanOrEqual(TOLERANCE);
  }
}

describe('the embedded checkpoints behind the API', () => {
  let stack: Stack;
  let golden: Golden;
  const imageOf = async (file: string) => ({
    data: (await readFile(place(`../scenes/${file}`))).toString('base64'),
  });
  beforeAll(async () => {
    golden = JSON.parse(await readFile(place('golden/match-scenes.json'), 'utf8'));
    stack = await startStack();
  });
  afterAll(() => stack?.stop());

  it('give the ITM and ITC scores of transformers', async () => {
    const { texts, images } = golden;
    for (const { image, scores } of images) {
      const body = { image: await imageOf(image), texts };
      const reply = (await postJson(`${stack.url}/v1/match`, body)) as {
        scores: { text: string; itm: number; itc: number }[];
      };
      expect(reply.scores.map(({ text }) => text)).toEqual(texts);
      const numbers = (all: { itm: number; itc: number }[]) =>
        all.map(({ itm, itc }) => [itm, itc]);
      expectNear(numbers(reply.scores), numbers(scores));
    }
  });

  it('give the embeddings of transformers, computed and cached', async () => {
    const { texts, vectors, images } = golden;
    const url = `${stack.url}/v1/embeddings`;
    const ofTexts = (await postJson(url, { kind: 'itc', text: texts })) as Embeddings;
    expectNear(ofTexts.embeddings, vectors);
    for (const { image, itc, query } of images) {
      for (const [kind, wanted] of Object.entries({ itc, query })) {
        const body = { kind, image: await imageOf(image) };
        for (const cache of [/^miss$/, /^(colo|kv)$/]) {
          const reply = (await postJson(url, body)) as Embeddings;
          expect(reply.cache).toMatch(cache);
          expectNear(reply.embeddings, wanted);
        }
      }
    }
  });
});
