/** What reading an input takes, and what it leaves in the bucket, follows from what was sent. */
import { imageIdOf } from '@blip2/shared/image-id';
import { expect, test, vi } from 'vitest';
import { base64, newImage, testEnv } from '../testing/edge.ts';
import { bound, bucket, createJob, failed, orderOf } from '../testing/jobs.ts';
import { sharedTurns } from '../turns/shared-turns.ts';
import { type JobOrder, type LineError, partKey } from './contract.ts';
import { ingestPart } from './ingest.ts';
import { storedImageUrl } from './item-source.ts';
import type { Cursor } from './job-table.ts';
import { readLine, withSettings } from './read-line.ts';

const config = { jobsPartItems: 10_000, jobsMaxItems: 1_000_000, maxImageBytes: 100_000 };
const START: Cursor = { offset: 0, line: 0, items: 0 };

/** Reads a part of these lines. @returns the keys of the images that were put, and the lines of the part */
async function read(
  lines: readonly unknown[],
  change: Partial<JobOrder> = {},
  moved?: Set<string>,
) {
  const { owner = crypto.randomUUID() } = change;
  const job = crypto.randomUUID();
  const key = `${owner}/files/lines`;
  await bucket.put(key, lines.map((line) => JSON.stringify(line)).join('\n'));
  const order = {
    ...orderOf(owner, key),
    input: { kind: 'file', key, form: 'native' } as const,
    ...change,
  };
  const images: string[] = [];
  const asked: string[] = [];
  const files = new Proxy(bucket, {
    get: (_, name) => {
      const member: unknown = Reflect.get(bucket, name, bucket);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => {
        if (name === 'get' && String(given[0]).includes('/images/')) asked.push(String(given[0]));
        if (name === 'put' && String(given[0]).includes('/images/')) images.push(String(given[0]));
        return Reflect.apply(member, bucket, given);
      };
    },
  });
  const ingest = { job, order, cursor: START, part: 0, errors: 0 };
  const read = { ...ingest, ...(moved && { moved }) };
  const { part, cursor } = await ingestPart({ files, images: undefined }, config, read);
  const stored = await bucket.get(partKey({ owner, job, part: 0 }, 'in'));
  return { part, cursor, images, asked, text: (await stored?.text()) ?? '' };
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

/** Calls to a bucket while an owner's turns are held. */
function callsInTurns(owner: string) {
  let held = 0;
  let turns = 0;
  const calls: { name: string; isInTurn: boolean }[] = [];
  const { take } = sharedTurns;
  const spy = vi.spyOn(sharedTurns, 'take').mockImplementation(async (of) => {
    const turn = await take.call(sharedTurns, of);
    if (of !== owner) return turn;
    held++;
    turns++;
    return {
      end: async (...given) => {
        held--;
        await turn.end(...given);
      },
    };
  });
  const watched = (real: R2Bucket) =>
    new Proxy(real, {
      get: (_, name) => {
        const member: unknown = Reflect.get(real, name, real);
        if (typeof member !== 'function') return member;
        return (...given: unknown[]) => {
          calls.push({ name: String(name), isInTurn: held > 0 });
          return Reflect.apply(member, real, given);
        };
      },
    });
  return { watched, calls, turns: () => turns, held: () => held, end: () => spy.mockRestore() };
}

const IMAGES = Array.from({ length: 5 }, () => ({ image: { data: base64(newImage()) } }));

test.each(['file', 'failed-of', 'prefix'] as const)(
  'while a bucket is waited for no turn is held (%s)',
  async (kind) => {
    const owner = crypto.randomUUID().replaceAll('-', '');
    const key = `${owner}/files/lines`;
    await bucket.put(key, IMAGES.map((line) => JSON.stringify(line)).join('\n'));
    const file = { kind: 'file', key, form: 'native' } as const;
    const images = bound(testEnv.JOB_IMAGES);
    let input: JobOrder['input'] = file;
    if (kind === 'prefix') {
      input = { kind, prefix: `${owner}/` };
      for (const name of ['a', 'b']) await images.put(`${owner}/${name}.png`, newImage());
    }
    if (kind === 'failed-of') {
      const first = await createJob([], { kind: 'job', owner, input: file });
      await first.run(() => failed('invalid-image', 'It is cut off.'));
      input = { kind, job: first.id };
    }
    const { watched, calls, turns, held, end } = callsInTurns(owner);
    try {
      const order = { ...orderOf(owner, key), input };
      const ingest = { job: crypto.randomUUID(), order, cursor: START, part: 0, errors: 0 };
      const buckets = { files: watched(bucket), images: watched(images) };
      const { part } = await ingestPart(buckets, config, ingest);
      expect(part?.items).toBe(kind === 'prefix' ? 2 : 5);
    } finally {
      end();
    }
    expect(turns()).toBeGreaterThan(0);
    expect(held()).toBe(0);
    expect(calls.length).toBeGreaterThan(1);
    expect(calls.filter(({ isInTurn }) => isInTurn)).toEqual([]);
  },
);

test('a job says that it reads on, and asks once in its first part whether it can be paid for', async () => {
  const lines = Array.from({ length: 3000 }, () => ({ prompt: 'a'.repeat(50) }));
  const owner = crypto.randomUUID();
  const key = `${owner}/files/lines`;
  await bucket.put(key, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n\n`);
  const order = {
    ...orderOf(owner, key),
    input: { kind: 'file', key, form: 'native' } as const,
  };
  const read = async (refusal: LineError | null, part = 0) => {
    const goesOn = vi.fn();
    const expected = vi.fn(async () => refusal);
    const more = { part, errors: 0, goesOn, expect: expected };
    const ingest = { job: crypto.randomUUID(), order, cursor: START, ...more };
    const found = await ingestPart({ files: bucket, images: undefined }, config, ingest);
    expect(goesOn.mock.calls.length).toBeGreaterThan(10);
    return { found, asked: expected.mock.calls };
  };
  const all = await read(null);
  expect(all.asked).toEqual([[1024]]);
  expect(all.found.part?.items).toBe(3000);
  expect((await read(null, 1)).asked).toEqual([]);
  const refusal = { line: null, code: 'quota-exceeded', message: 'No.', param: null };
  const { found } = await read(refusal);
  expect(found).toMatchObject({ errors: [refusal], part: null, isDone: true });
  expect(found.cursor.items).toBe(1024);
});

test('of a job whose sender has no images left no part is read', async () => {
  const record = { name: 'none', scopes: [], created_at: 0, limits: { images_per_day: 1 } };
  const sender = { caller: { id: crypto.randomUUID(), record, namespace: '' }, address: '' };
  const line = { body: { image: { url: 'https://images.example.org/a.png' } } };
  const item = { custom_id: 'a', method: 'POST', url: '/v1/captions', ...line };
  await (await createJob([item], { sender })).until('in_progress');
  const { errors } = await (await createJob(['no JSON', item], { sender })).until('failed');
  expect(errors).toMatchObject([{ line: null, code: 'quota-exceeded' }]);
});

/** Another job, all of whose items failed. */
async function failedJob(bodies: readonly object[]) {
  const [owner, job] = [crypto.randomUUID(), crypto.randomUUID()];
  const lines = bodies.map((body, item) => {
    const custom_id = `${item}`;
    const url = '/v1/captions';
    const result = { part: 0, item, custom_id, outcome: 'failed', status: 400, body: {} };
    return { line: { custom_id, method: 'POST', url, body }, result };
  });
  for (const [kind, name] of [['in', 'line'] as const, ['out', 'result'] as const]) {
    const text = lines.map((line) => `${JSON.stringify(line[name])}\n`).join('');
    await bucket.put(partKey({ owner, job, part: 0 }, kind), text);
  }
  return { owner, job, input: { kind: 'failed-of', job } as const };
}

const urlOf = (i: number) => storedImageUrl(i.toString(16).padStart(64, '0'));

test('of a line that failed the last images that it names are copied, and each is asked for once', async () => {
  const image = newImage();
  const names = Array.from({ length: 1200 }, (_, i) => urlOf(i));
  const bodies = Array.from({ length: 3 }, () => ({ input: names }));
  const { owner, job, input } = await failedJob([
    ...bodies,
    { prompt: `see ${urlOf(2000)} there` },
  ]);
  await bucket.put(`${owner}/jobs/${job}/images/${urlOf(1199).slice(-64)}`, image);
  const { asked, images, part } = await read([], { owner, input });
  expect(part?.items).toBe(4);
  expect(asked.map((key) => Number.parseInt(key.slice(-64), 16)).toSorted()).toEqual([
    1196, 1197, 1198, 1199,
  ]);
  expect(images.map((key) => Number.parseInt(key.slice(-64), 16))).toEqual([1199]);
});

test('an image that the other job has not is put where a line has it', async () => {
  const bytes = newImage();
  const url = storedImageUrl(await imageIdOf(bytes));
  const { owner, input } = await failedJob([
    { image: { url } },
    { image: { data: base64(bytes) } },
  ]);
  const { asked, images } = await read([], { owner, input });
  expect([asked.length, images.length]).toEqual([1, 1]);
});

test('so many images are remembered, the last ones', async () => {
  const moved = new Set(Array.from({ length: 4096 }, (_, i) => `${i}`));
  await read([{ image: { data: base64(newImage()) } }], {}, moved);
  expect([moved.size, moved.has('0'), moved.has('1')]).toEqual([4096, false, true]);
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
