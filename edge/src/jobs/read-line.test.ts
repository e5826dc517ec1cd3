/** Ids of items: what clients send has a bound of its own, and no key of an image is too long for a job of a bucket. */
import { expect, it } from 'vitest';
import type { JobInput } from './contract.ts';
import { readLine } from './read-line.ts';

const FILE = { kind: 'file', key: 'x', form: 'native' } as const;
const BATCH = { ...FILE, form: 'batch' } as const;

/** The code of what is wrong with an item of such an id; null where nothing is. */
function faultOf(input: JobInput, id: string): string | null {
  const url = '/v1/captions';
  const native = { id, image: { url: 'https://images.example.org/a.png' } };
  const isBatch = (input.kind === 'file' && input.form === 'batch') || input.kind === 'failed-of';
  const line = isBatch ? { custom_id: id, method: 'POST', url, body: {} } : native;
  const read = readLine(JSON.stringify(line), 0, { input, url, settings: {} });
  return 'error' in read ? read.error.code : null;
}

it.each<JobInput>([FILE, BATCH, { kind: 'lines', text: '' }])(
  'ids of %j have 512 characters',
  (input) => {
    expect(faultOf(input, 'a'.repeat(512))).toBeNull();
    expect(faultOf(input, 'a'.repeat(513))).toBe('invalid_custom_id');
    expect(faultOf(input, '')).toBe('invalid_custom_id');
  },
);

it.each<JobInput>([
  { kind: 'prefix', prefix: 'a' },
  { kind: 'failed-of', job: 'another' },
])('ids of %j are keys of a bucket, of 1,024', (input) => {
  expect(faultOf(input, 'a'.repeat(1024))).toBeNull();
});
