import { expect, it, vi } from 'vitest';
import { bundledModels } from '../bundled-models.ts';
import { WorkInHand } from '../work-in-hand.ts';
import { tokenizeTexts } from './tokenize-texts.ts';

it('leaves the place of its request while it waits for a turn', async () => {
  const work = new WorkInHand(1);
  using place = work.take();
  const leave = vi.spyOn(place, 'leave');
  const texts = Array.from({ length: 400 }, (_, n) => `${n} ${'a dog on a red ball '.repeat(10)}`);
  const rests: Promise<unknown>[] = [];
  const context = {
    ...{ requestId: '', namespace: '', client: 'tokenize-texts', startedAt: 0, work: place },
    signal: new AbortController().signal,
    deadlineAt: Date.now() + 60_000,
    waitUntil: (rest: Promise<unknown>) => void rests.push(rest),
  };
  const input = { texts, field: 'text', cut: 'right' as const };
  const model = bundledModels.retrieve;
  if (model === undefined) throw new Error('no model for retrieval');
  const ids = await tokenizeTexts({}, model, input, context);
  expect(ids).toHaveLength(400);
  expect(rests.length).toBeGreaterThan(0);
  expect(leave).toHaveBeenCalledTimes(rests.length);
  // It has it again.
  expect(() => work.take()).toThrow();
  await Promise.all(rests);
});
