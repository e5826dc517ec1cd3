/** A worker whose model reads an instruction with each image. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestWorker } from './testing/test-worker.ts';

/** A random InstructBLIP (test/parity/golden/make/instruct_checkpoints.py). */
const CHECKPOINT = fileURLToPath(
  new URL('../../../test/parity/golden/instruct-t5/checkpoint', import.meta.url),
);
/** Of its Q-Former. */
const MAX_POSITIONS = 120;

let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ checkpoint: CHECKPOINT, retrievalCheckpoint: 'none' });
});
afterAll(() => test?.worker.stop());

/** Of a prompt without text, for T5. */
const input_ids = [1];
const instructed = (...instruction_ids: number[]) => test.generate({ input_ids, instruction_ids });

describe('a request with an image', () => {
  it('gets embeddings that are the same bits each time, and others for another instruction', async () => {
    const first = await test.ask(instructed(2, 9, 3), test.image(0));
    const other = await test.ask(instructed(2, 10, 3), test.image(0));
    const again = await test.ask(instructed(2, 9, 3), test.image(0));
    expect(first.embeddings).toBeDefined();
    expect(again.embeddings).toEqual(first.embeddings);
    expect(other.embeddings).not.toEqual(first.embeddings);
  });

  it('runs the image encoder once for several instructions', async () => {
    const misses = async () => {
      const text = await (await fetch(`${test.worker.url}/metrics`)).text();
      const [, count] =
        /image_feature_cache_lookups_total\{result="miss"[^}]*\} (\d+)/.exec(text) ?? [];
      expect(count).toBeDefined();
      return Number(count);
    };
    await test.ask(instructed(2, 3), test.image(1));
    const before = await misses();
    await Promise.all([5, 6, 7].map((id) => test.ask(instructed(2, id, 3), test.image(1))));
    expect(await misses()).toBe(before);
  });

  it.each([
    ['none', undefined, 'invalid-request'],
    ['one of no ids', [], 'invalid-request'],
    ['one out of the vocabulary', [2, 1e6, 3], 'invalid-request'],
    ['one with padding inside', [2, 0, 5, 3], 'invalid-request'],
    ['one beyond the positions', new Array<number>(MAX_POSITIONS + 1).fill(5), 'prompt-too-long'],
  ])('is refused with the instruction %s', async (_name, instruction_ids, slug) => {
    const request = {
      ...test.generate({ input_ids }),
      ...(instruction_ids && { instruction_ids }),
    };
    for (const kind of ['generate', 'embed'] as const) {
      const { input_ids: _, generation: _config, ...head } = request;
      const sent = kind === 'generate' ? request : { ...head, kind, embedding: 'query' };
      const response = await test.send(sent, test.image(0));
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        type: `/problems/${slug}`,
        field: 'instruction_ids',
      });
    }
  });

  it('may have as long an instruction as there are positions', async () => {
    const { types } = await test.ask(
      instructed(2, ...new Array<number>(MAX_POSITIONS - 2).fill(5), 3),
      test.image(0),
    );
    expect(types.at(-1)).toBe('done');
  });
});
