import { expect, it } from 'vitest';
import type { Caller } from '../protocol.ts';
import { Admission } from './admission.ts';

const a: Caller = { client: 'a', priority: 'interactive' };
const b: Caller = { client: 'b', priority: 'interactive' };
const unnamed: Caller = { client: '', priority: 'interactive' };
const job: Caller = { client: '', priority: 'background' };

it('refuses when the limit is reached, until a request ends', () => {
  const admission = new Admission(3);
  const taken = [1, 2, 3].map(() => admission.admit(unnamed));
  expect(admission.refusal(unnamed)).toMatch(/queue/);
  expect(admission.admitted).toBe(3);
  taken[0]?.[Symbol.dispose]();
  expect(admission.refusal(unnamed)).toBeNull();
});

it('admits up to half of them for one client', () => {
  const admission = new Admission(4);
  const first = admission.admit(a);
  admission.admit(a);
  expect(admission.refusal(a)).toMatch(/2 requests under way/);
  expect(admission.refusal(b)).toBeNull();
  first[Symbol.dispose]();
  expect(admission.refusal(a)).toBeNull();
});

it('admits up to half of them for background work', () => {
  const admission = new Admission(4);
  admission.admit(job);
  admission.admit(job);
  expect(admission.refusal(job)).toMatch(/background/);
  expect(admission.refusal(a)).toBeNull();
});
