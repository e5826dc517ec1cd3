/** From a picture's file to the text through the whole API: what transformers writes (make_api_golden.py). */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../scripts/stack.ts';

type Reply = {
  picture: string;
  question: string;
  settings: Record<string, number>;
  ids: number[];
  text: string;
};

const place = (path: string) => new URL(path, import.meta.url).pathname;

describe.each(['api-opt', 'api-t5'])('the checkpoint "%s" behind the API', (name) => {
  let stack: Stack;
  let expected: { max_tokens: number; replies: Reply[] };
  beforeAll(async () => {
    expected = JSON.parse(await readFile(place(`golden/${name}/expected.json`), 'utf8'));
    stack = await startStack({ checkpoint: place(`golden/${name}/checkpoint`) });
  });
  afterAll(() => stack?.stop());

  it('writes the captions and answers of transformers, all asked at once', async () => {
    const { max_tokens, replies } = expected;
    expect(replies).toHaveLength(20);
    const said = await Promise.all(
      replies.map(async ({ picture, question, settings }) => {
        const bytes = await readFile(place(`../scenes/${picture}`));
        const image = { data: bytes.toString('base64') };
        const asks = question === '' ? {} : { question };
        const route = question === '' ? 'captions' : 'answers';
        const response = await fetch(`${stack.url}/v1/${route}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ image, ...asks, ...settings, max_tokens, logprobs: true }),
        });
        expect(response.status).toBe(200);
        const reply = (await response.json()) as Record<string, unknown>;
        const logprobs = reply.logprobs as { id: number }[] | undefined;
        return { text: reply.caption ?? reply.answer, ids: (logprobs ?? []).map(({ id }) => id) };
      }),
    );
    for (const [i, { text, ids }] of said.entries()) {
      const { ids: written, text: wanted } = replies[i]!;
      // The end token is not among what is written.
      expect(ids).toEqual(written.slice(0, ids.length));
      expect(written.length - ids.length).toBeLessThanOrEqual(1);
      expect(text).toBe(wanted);
    }
  });
});
