import { describe, expect, it } from 'vitest';
import { startEdge } from '../testing/edge.ts';
import { retrieval } from '../testing/models.ts';
import { expectFewTokens, MAX_EMBEDDED_TOKENS } from './token-budget.ts';

const texts = (count: number, tokens: number) =>
  Array.from({ length: count }, () => Array.from({ length: tokens }, () => 5));

describe('the tokens of all texts of a request', () => {
  it.each([
    ['LangChain’s 512, each of which fills the context', texts(512, retrieval.max_positions)],
    ['1000 captions', texts(1000, 32)],
    ['2048 names', texts(2048, 16)],
    ['none', []],
  ])('may be those of %s', (_, ids) => {
    expect(() => expectFewTokens(ids, 'input')).not.toThrow();
  });

  it.each([
    ['2048 long texts', texts(2048, 60), 122_880, 544],
    ['one text more', [...texts(512, 64), ...texts(1, 1)], 32_769, 512],
    // Four are run together, each as long as the longest.
    [
      'a long one among each four',
      Array.from({ length: 2048 }, (_, i) => texts(1, i % 4 === 0 ? 64 : 3)[0] ?? []),
      131_072,
      512,
    ],
  ])('may not be those of %s, with how many fit', (_, ids, actual, fitting) => {
    expect(() => expectFewTokens(ids, 'input')).toThrow(
      expect.objectContaining({
        slug: 'invalid-request',
        message: expect.stringContaining(`the first ${fitting} fit in one`),
        extras: { field: 'input', limit: MAX_EMBEDDED_TOKENS, actual },
      }),
    );
    expect(() => expectFewTokens(ids.slice(0, fitting), 'input')).not.toThrow();
  });
});

describe('a request for more is refused before anything is embedded', () => {
  const text = Array.from({ length: 40 }, () => 'dog').join(' ');
  const long = Array.from({ length: 1000 }, () => text);

  it.each([
    ['/v1/embeddings', { model: retrieval.name, input: long }, 'input'],
    ['/api/embed', { model: retrieval.name, input: long }, 'input'],
    ['/hf/feature-extraction', { inputs: long }, 'inputs'],
    [
      '/hf/sentence-similarity',
      { inputs: { source_sentence: 'a dog', sentences: long } },
      'inputs.sentences',
    ],
  ])('at %s', async (path, body, field) => {
    const edge = startEdge();
    const response = await edge.post(path, body);
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(new RegExp(`${field}: the \\d+ texts have \\d+ tokens`));
    expect(edge.gpu.received).toEqual([]);
  });
});
