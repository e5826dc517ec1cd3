import { expect, it } from 'vitest';
import type { Standing } from '../protocol.ts';
import { Places } from './admission.ts';

const a: Standing = { client: 'a', priority: 'interactive' };
const b: Standing = { client: 'b', priority: 'interactive' };
const unnamed: Standing = { client: '', priority: 'interactive' };
const job: Standing = { client: '', priority: 'background' };

it('refuses when all places are taken, until one is given back', () => {
  const places = new Places(3);
  const taken = [1, 2, 3].map(() => places.take(unnamed));
  expect(places.refusal(unnamed)).toMatch(/queue/);
  expect(places.taken).toBe(3);
  taken[0]?.[Symbol.dispose]();
  expect(places.refusal(unnamed)).toBeNull();
});

it('lets one client have half of them', () => {
  const places = new Places(4);
  const first = places.take(a);
  places.take(a);
  expect(places.refusal(a)).toMatch(/2 requests under way/);
  expect(places.refusal(b)).toBeNull();
  first[Symbol.dispose]();
  expect(places.refusal(a)).toBeNull();
});

it('lets background work have half of them', () => {
  const places = new Places(4);
  places.take(job);
  places.take(job);
  expect(places.refusal(job)).toMatch(/background/);
  expect(places.refusal(a)).toBeNull();
});
