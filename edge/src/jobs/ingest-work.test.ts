/** What reading an input takes, and what it leaves in the bucket, follows from what was sent. */
import { expect, test } from 'vitest';
import { base64, newImage } from '../testing/edge.ts';
import { bucket, createJob, orderOf } from '../testing/jobs.ts';
import { type JobOrder, partKey } from './contract.ts';
import { ingestPart } from './ingest.ts';
import type { Cursor } from './job-table.ts';
import { readLine, withSettings } from './read-line.ts';

const config = { jobsPartItems: 10_000, jobsMaxItems: 1_000_000, maxImageBytes: 100_000 };
const START: Cursor = { offset: 0, line: 0, items: 0 };

/** Reads a part of these lines. @returns the keys of the images that were put, and the lines of the part */
async function read(lines: readonly unknown[], change: Partial<JobOrder> = {}) {
  const owner = crypto.randomUUID();
  const job = crypto.randomUUID();
  const key = `${owner}/files/lines`;
  await bucket.put(key, lines.map((line) => JSON.stringify(line)).join('\n'));
  const order = {
    ...orderOf(owner, key),
    input: { kind: 'file', key, form: 'native' } as const,
    ...change,
  };
  const images: string[] = [];
  const files = new Proxy(bucket, {
    get: (_, name) => {
      const member: unknown = Reflect.get(bucket, name, bucket);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => {
        if (name === 'put' && String(given[0]).includes('/images/')) images.push(String(given[0]));
        return Reflect.apply(member, bucket, given);
      };
    },
  });
  const ingest = { job, order, cursor: START, part: 0, errors: 0 };
  const { part, cursor } = await ingestPart({ files, images: undefined }, config, ingest);
  const stored = await bucket.get(partKey({ owner, job, part: 0 }, 'in'));
  return { part, cursor, images, text: (await stored?.text()) ?? '' };
}

test('settings are in no line of a part', async () => {
  const settings = { texts: Array.from({ length: 100 }, (_, i) => `${i} ${'a'.repeat(140)}`) };
  const { text, part } = await read(
    Array.from({ length: 1000 }, () => ({})),
    { settings, url: '/v1/match' },
  );
  expect(part?.items).toBe(1000);
  expect(text.length).toBeLessThan(100 * 1000);
  expect(text).not.toContain('texts');
});

test('settings come to an item when it is run, also to one of an earlier version that has a copy', () => {
  const settings = { prompt: 'a', max_tokens: 7 };
  const order = orderOf('a', 'b');
  const input = { kind: 'lines', text: '' } as const;
  const members = { image: { sha256: 'a' }, max_tokens: 3, n: 1 };
  const read = readLine(JSON.stringify(members), 0, { ...order, input, settings });
  if ('error' in read) throw new Error(read.error.message);
  const expected = JSON.stringify({ ...settings, ...members });
  const run = withSettings(read.line, settings);
  expect(JSON.stringify(run.body)).toBe(expected);
  expect(JSON.stringify(withSettings(run, settings).body)).toBe(expected);
  expect(JSON.stringify(withSettings(run).body)).toBe(expected);
});

test('of thousands of small images in a line the last is put', async () => {
  const images = Array.from({ length: 3000 }, () => ({ data: base64(newImage()) }));
  const { images: put, part, text } = await read([{ x: images }, { x: images }]);
  expect(part?.items).toBe(2);
  expect(put).toHaveLength(1);
  expect(text).toContain(images[0]?.data);
});

test('an image that many items have is put once', async () => {
  const image = { data: base64(newImage()) };
  const { images, text } = await read(Array.from({ length: 50 }, () => ({ image })));
  expect(images).toHaveLength(1);
  expect(text).not.toContain(image.data);
});

test('a job that cannot be paid for is not read to its end', async () => {
  const record = { name: 'few', scopes: [], created_at: 0, limits: { images_per_day: 60 } };
  const sender = { caller: { id: crypto.randomUUID(), record, namespace: '' }, address: '' };
  const lines = Array.from({ length: 400 }, (_, i) => ({
    ...{ custom_id: `${i}`, method: 'POST', url: '/v1/captions' },
    body: { image: { url: 'https://images.example.org/a.png' } },
  }));
  const job = await createJob([...lines, 'no JSON'], { sender });
  const { errors } = await job.until('failed');
  expect(errors).toMatchObject([
    {
      line: null,
      code: 'quota-exceeded',
      message: expect.stringMatching(/^Its items, 100 at least,/),
    },
  ]);
});
