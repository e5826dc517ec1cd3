import { UNNAMED_CLIENT } from '@blip2/shared/wire';
import { expect, it } from 'vitest';
import type { Caller } from '../protocol.ts';
import { Admission } from './admission.ts';

const a: Caller = { client: 'a', priority: 'interactive' };
const b: Caller = { client: 'b', priority: 'interactive' };
const unnamed: Caller = { client: '', priority: 'interactive' };
const job: Caller = { client: '', priority: 'background' };

const overloaded = (message: RegExp) => ({
  slug: 'overloaded',
  status: 503,
  message: expect.stringMatching(message),
});

it('refuses when the limit is reached, until a request ends', () => {
  const admission = new Admission(3);
  const taken = [1, 2, 3].map(() => admission.admit(unnamed));
  expect(admission.refusal(unnamed)).toMatchObject(overloaded(/queue/));
  expect(admission.admitted).toBe(3);
  taken[0]?.[Symbol.dispose]();
  expect(admission.refusal(unnamed)).toBeNull();
});

it('admits up to half of them for one client', () => {
  const admission = new Admission(4);
  const first = admission.admit(a);
  admission.admit(a);
  expect(admission.refusal(a)).toMatchObject({
    slug: 'too-many-requests',
    status: 429,
    extras: { limit: 2, retry_after: 1 },
  });
  expect(admission.refusal(b)).toBeNull();
  first[Symbol.dispose]();
  expect(admission.refusal(a)).toBeNull();
});

it('says to those of unknown address that they are one client together', () => {
  const admission = new Admission(4);
  const someone: Caller = { ...a, client: UNNAMED_CLIENT };
  admission.admit(someone);
  admission.admit(someone);
  expect(admission.refusal(someone)).toMatchObject({
    slug: 'too-many-requests',
    message: expect.stringMatching(/^Those whose address is not known have 2 requests .*together/),
    extras: { limit: 2, retry_after: 1 },
  });
  expect(admission.refusal(a)).toBeNull();
});

it('admits up to half of them for background work', () => {
  const admission = new Admission(4);
  admission.admit(job);
  admission.admit(job);
  expect(admission.refusal(job)).toMatchObject(overloaded(/background/));
  expect(admission.refusal(a)).toBeNull();
});

it('tells a client that has its share so, however full it is besides', () => {
  const admission = new Admission(4);
  for (const caller of [a, a, b, b]) admission.admit(caller);
  expect(admission.refusal(a)).toMatchObject({ slug: 'too-many-requests' });
  expect(admission.refusal({ ...a, client: 'c' })).toMatchObject(overloaded(/queue/));
});

it.each([1, 2, 3, 5, 8])('leaves a place for another client while %i want all', (count) => {
  const admission = new Admission(72);
  const greedy = Array.from({ length: count }, (_, i) => ({ ...a, client: `greedy ${i}` }));
  for (let turn = 0; turn < 72; turn++) {
    for (const caller of greedy) if (admission.refusal(caller) === null) admission.admit(caller);
  }
  // As many for the others as each of them has.
  expect(72 - admission.admitted).toBeGreaterThanOrEqual(Math.floor(72 / (count + 1)));
  expect(admission.refusal(b)).toBeNull();
});
