import { ApiError } from '@blip2/shared/errors';
import { expect, it } from 'vitest';
import { fullStorage } from './full-storage.ts';

it.each([
  ['of an object', new Error('database or disk is full: SQLITE_FULL')],
  ['within another error', ApiError.from(new Error('write: No space left on device'))],
])('a full disk %s may pass', (_, thrown) => {
  expect(fullStorage(thrown)?.toProblem()).toMatchObject({ status: 503, retry_after: 60 });
});

it.each([
  ['an error of ours', new Error('undefined is not a function')],
  ['a problem', new ApiError('not-found', 'No space left for this word.')],
  ['no error', 'anything'],
])('%s is none', (_, thrown) => {
  expect(fullStorage(thrown)).toBeNull();
});
