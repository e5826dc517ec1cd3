import { expect, it } from 'vitest';
import { fewAtATime } from './few-at-a-time.ts';

const NUMBERS = Array.from({ length: 50 }, (_, n) => n);

it('few are under way at a time, and what comes of them is in their order', async () => {
  let [open, most] = [0, 0];
  const made = await fewAtATime(NUMBERS, async (n, index) => {
    most = Math.max(most, ++open);
    for (let turn = n % 5; turn > 0; turn--) await Promise.resolve();
    open--;
    return [n, index];
  });
  expect(made).toEqual(NUMBERS.map((n) => [n, n]));
  expect(most).toBe(6);
});

it('where one fails those under way hear of it, and no other begins', async () => {
  const begun: number[] = [];
  const heard: number[] = [];
  const make = async (n: number, _: number, ended: AbortSignal) => {
    begun.push(n);
    ended.addEventListener('abort', () => void heard.push(n));
    if (n < 10) return;
    if (n === 12) throw new Error('no');
    await new Promise((resolve) => ended.addEventListener('abort', resolve));
  };
  await expect(fewAtATime(NUMBERS, make)).rejects.toThrow('no');
  await new Promise((resolve) => setTimeout(resolve));
  expect(begun.at(-1)).toBeLessThan(18);
  expect(heard).toEqual(begun);
});

it('none are none', async () => {
  expect(await fewAtATime([], async () => 1)).toEqual([]);
});
