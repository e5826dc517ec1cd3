/** From an image's file to embeddings and text through the whole API: the results of transformers (golden/make/api_checkpoints.py). */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postJson } from '../../tools/api.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';

type Wanted = {
  max_tokens: number;
  /** Query embeddings by image. */
  embeddings: Record<string, number[][]>;
  replies: {
    image: string;
    question: string;
    settings: Record<string, number>;
    ids: number[];
    text: string;
    /** Log-probabilities at each place of a greedy text, of its token and of the likeliest by id. */
    scores?: { logprob: number; top: Record<string, number> }[];
  }[];
};
type ScoredToken = { id: number; logprob: number };
type Reply = {
  caption?: string;
  answer?: string;
  logprobs: (ScoredToken & { top_logprobs: ScoredToken[] })[];
};

const pathOf = (path: string) => new URL(path, import.meta.url).pathname;

const imageOf = async (name: string) => {
  const bytes = await readFile(pathOf(`../scenes/${name}`));
  return { data: bytes.toString('base64') };
};

describe.each(['api-opt', 'api-t5'])('the checkpoint "%s" behind the API', (name) => {
  let stack: Stack;
  let wanted: Wanted;
  let replies: Reply[];
  beforeAll(async () => {
    wanted = JSON.parse(await readFile(pathOf(`golden/${name}/expected.json`), 'utf8'));
    stack = await startStack({ checkpoint: pathOf(`golden/${name}/checkpoint`) });
    const { max_tokens } = wanted;
    expect(wanted.replies).toHaveLength(20);
    replies = await Promise.all(
      wanted.replies.map(async ({ image: file, question, settings }) => {
        const asks = question === '' ? {} : { question };
        const route = question === '' ? 'captions' : 'answers';
        const options = { ...settings, max_tokens, logprobs: true, top_logprobs: 5 };
        const body = { image: await imageOf(file), ...asks, ...options };
        return (await postJson(`${stack.url}/v1/${route}`, body)) as Reply;
      }),
    );
  });
  afterAll(() => stack?.stop());

  it('generates the captions and answers of transformers, all at once', () => {
    for (const [i, { caption, answer, logprobs }] of replies.entries()) {
      const { ids, text } = wanted.replies[i]!;
      const found = logprobs.map(({ id }) => id);
      // The end token is not among what is written.
      expect(found).toEqual(ids.slice(0, found.length));
      expect(ids.length - found.length).toBeLessThanOrEqual(1);
      expect(caption ?? answer).toBe(text);
    }
  });

  it('gives the log-probabilities of transformers', () => {
    const greedy = replies.filter((_, i) => wanted.replies[i]!.scores !== undefined);
    const scores = wanted.replies.flatMap((reply) => (reply.scores ? [reply.scores] : []));
    expect(greedy).toHaveLength(10);
    for (const [i, { logprobs }] of greedy.entries()) {
      for (const [place, { logprob, top_logprobs }] of logprobs.entries()) {
        const exact = scores[i]![place]!;
        expect(Math.abs(logprob - exact.logprob)).toBeLessThan(1e-3);
        expect(top_logprobs).toHaveLength(5);
        for (const { id, logprob: other } of top_logprobs) {
          expect(Math.abs(other - (exact.top[id] ?? Number.NaN))).toBeLessThan(1e-3);
        }
      }
    }
  });

  it('gives the query embeddings of transformers', async () => {
    for (const [file, exact] of Object.entries(wanted.embeddings)) {
      const body = { image: await imageOf(file) };
      const { embeddings } = (await postJson(`${stack.url}/v1/embeddings`, body)) as {
        embeddings: number[][];
      };
      expect(embeddings.map(({ length }) => length)).toEqual(exact.map(({ length }) => length));
      for (const [i, value] of embeddings.flat().entries()) {
        expect(Math.abs(value - exact.flat()[i]!)).toBeLessThan(1e-4);
      }
    }
  });
});
