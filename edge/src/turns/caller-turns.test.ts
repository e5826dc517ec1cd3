import type { ApiError } from '@blip2/shared/errors';
import { expect, it } from 'vitest';
import { OPENING } from '../routes/jobs/opening-turns.ts';
import { CallerTurns } from './caller-turns.ts';

/** What becomes of the turns of these owners, who come together where each job takes so long. */
async function comeTogether(ms: number, owners: readonly string[]): Promise<string[]> {
  let now = 1000;
  const waiting: { at: number; resolve: () => void }[] = [];
  const pause = (wait = 0) =>
    new Promise<void>((resolve) => waiting.push({ at: now + wait, resolve }));
  const turns = new CallerTurns(OPENING, { now: () => now, pause });
  for (const owner of new Set(owners)) turns.took(owner, ms);
  const results = owners.map(() => '');
  const all = owners.map(async (owner, index) => {
    results[index] = await turns.take(owner).then(
      () => `${owner} ${now - 1000}`,
      ({ slug, extras }: ApiError) => `${owner} ${slug} ${extras.retry_after}`,
    );
  });
  while (results.includes('')) {
    await new Promise((resolve) => setTimeout(resolve));
    waiting.sort((a, b) => a.at - b.at);
    const next = waiting.shift();
    now = Math.max(now, next?.at ?? now);
    next?.resolve();
  }
  await Promise.all(all);
  return results;
}

it('lets a caller who comes alone in at once', async () => {
  expect(await comeTogether(20, ['a'])).toEqual(['a 0']);
});

it('opens the jobs of one caller one after the other, and those of others between them', async () => {
  const turns = await comeTogether(50, ['a', 'a', 'a', 'b']);
  expect(turns).toEqual(['a 0', 'a 400', 'a 800', 'b 100']);
});

it('refuses the job of a caller who has too many waiting, and nobody else', async () => {
  const turns = await comeTogether(500, [...Array.from({ length: 8 }, () => 'a'), 'b']);
  expect(turns.slice(5)).toEqual([
    'a 5000',
    'a too-many-requests 6',
    'a too-many-requests 6',
    'b 250',
  ]);
});

it('refuses jobs of very many callers together', async () => {
  const owners = Array.from({ length: 23 }, (_, i) => `owner-${i}`);
  const turns = await comeTogether(500, owners);
  expect(turns.at(20)).toBe('owner-20 5000');
  expect(turns.at(21)).toBe('owner-21 overloaded 6');
});
