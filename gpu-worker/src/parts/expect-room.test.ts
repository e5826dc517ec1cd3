/** Parts of embeddings that would not fit an object are refused before they are run. */
import { expect, it } from 'vitest';
import type { Models } from '../http/dependencies.ts';
import { expectRoom } from './expect-room.ts';

const size = { num_query_tokens: 32, qformer_hidden: 768, itc_hidden: 256 };
const models = {
  generate: { ...size, precision: 'int8' },
  retrieve: { ...size, precision: 'int8' },
} as unknown as Models;
const whole = { output: 's3://bucket/a', task: 'embeddings', settings: {}, partItems: 100_000 };

it('embeddings of too many images are refused, with the number that would do', () => {
  const part = { ...whole, task: 'embeddings' as const };
  expect(() => expectRoom(part, models)).toThrow('--part-items 32519 or less');
  expect(() => expectRoom({ ...part, partItems: 32_519 }, models)).not.toThrow();
  expect(() => expectRoom({ ...part, partItems: 32_520 }, models)).toThrow();
});

it.each([
  ['in a folder', { output: 'a' }],
  ['of kind itc', { settings: { kind: 'itc' }, partItems: 90_000 }],
  ['of another task', { task: 'caption' as const }],
])('results %s have room', (_, change) => {
  const part = { ...whole, task: 'embeddings' as const, ...change };
  expect(() => expectRoom(part, models)).not.toThrow();
});
