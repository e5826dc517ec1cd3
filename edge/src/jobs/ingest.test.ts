/** What is wrong with the lines of a job is said before any of them is run, and with the numbers of the lines. */
import { readFrames } from '@blip2/shared/frames';
import { expect, test } from 'vitest';
import { base64, newImage, testEnv } from '../testing/edge.ts';
import { bound, bucket, caption, createJob, failed, orderOf } from '../testing/jobs.ts';
import type { JobInput, JobObject } from './contract.ts';
import { ingestPart } from './ingest.ts';
import { findDuplicates } from './item-ids.ts';
import type { Cursor } from './job-table.ts';

const line = (custom_id: string, change: object = {}) => ({
  custom_id,
  method: 'POST',
  url: '/v1/captions',
  body: { image: { url: 'https://images.example.org/a.png' } },
  ...change,
});

test('every bad line is listed, and nothing is run', async () => {
  const job = await createJob([
    line('a'),
    '{"custom_id": "b"',
    '',
    '[]',
    line('c', { url: '/v1/answers' }),
    line('d', { method: 'GET' }),
    line('e', { body: 'text' }),
    line('f', { model: 'x' }),
    line('g', { body: { stream: true } }),
    line(''),
    line('x'.repeat(513)),
    JSON.stringify(line('h', { body: { text: 'x'.repeat(8 * 2 ** 20) } })),
    { ...line('i'), custom_id: 7 },
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    '{"custom_id": "j", "custom_id": "k"}',
    JSON.stringify(line('l')).replace('{', '{"__proto__": {},'),
  ]);
  const { state, errors, counts } = await job.until('failed');
  expect(state).toBe('failed');
  expect(counts.total).toBe(0);
  expect(errors.map(({ line: number, code, param }) => [number, code, param])).toEqual([
    [2, 'invalid_json_line', null],
    [4, 'invalid_json_line', null],
    [5, 'mismatched_endpoint', 'url'],
    [6, 'invalid_method', 'method'],
    [7, 'missing_required_parameter', 'body'],
    [8, 'unknown_parameter', 'model'],
    [9, 'unsupported_parameter', 'body.stream'],
    [10, 'invalid_custom_id', 'custom_id'],
    [11, 'invalid_custom_id', 'custom_id'],
    [12, 'line_too_long', null],
    [13, 'missing_required_parameter', 'custom_id'],
    [14, 'invalid_json_line', null],
    [15, 'invalid_json_line', null],
    [16, 'invalid_json_line', null],
  ]);
  expect(await job.receive(0)).toEqual([]);
});

test('a file that is deleted while it is read is no shorter one', async () => {
  const key = `${crypto.randomUUID()}/files/lines`;
  const lines = Array.from({ length: 60 }, (_, i) => JSON.stringify(line(`item-${i}`)));
  await bucket.put(key, lines.join('\n'));
  const order = orderOf('a'.repeat(64), key);
  const config = { jobsPartItems: 50, jobsMaxItems: 1000, maxImageBytes: 1000 };
  const read = (cursor: Cursor) =>
    ingestPart({ files: bucket, images: undefined }, config, {
      ...{ job: 'a'.repeat(96), order, cursor, part: 0, errors: 0 },
    });
  const first = await read({ offset: 0, line: 0, items: 0 });
  expect([first.part?.items, first.isDone]).toEqual([50, false]);
  await bucket.delete(key);
  const second = await read(first.cursor);
  expect(second.errors).toMatchObject([{ code: 'file_not_found' }]);
  expect([second.part, second.isDone]).toEqual([null, true]);
});

test('a name that several lines have is found wherever they are', async () => {
  const lines = Array.from({ length: 130 }, (_, i) => line(`item-${i}`));
  lines[3] = line('item-120');
  lines[77] = line('item-120');
  const { errors } = await (await createJob(lines)).until('failed');
  expect(errors).toEqual([
    expect.objectContaining({ line: 78, code: 'duplicate_custom_id', param: 'custom_id' }),
    expect.objectContaining({ line: 121, message: expect.stringContaining('that of line 4') }),
  ]);
});

test('at most a hundred errors are listed', async () => {
  const { errors } = await (await createJob(Array.from({ length: 300 }, () => '{'))).until(
    'failed',
  );
  expect(errors).toHaveLength(100);
  const same = await createJob(Array.from({ length: 300 }, () => line('same')));
  expect((await same.until('failed')).errors).toHaveLength(100);
});

test.each([
  ['an empty file', []],
  ['blank lines', ['', ' ', '']],
])('%s has no items', async (_, lines) => {
  const { errors } = await (await createJob(lines)).until('failed');
  expect(errors).toMatchObject([{ line: null, code: 'empty_file' }]);
});

const NATIVE_INPUTS = ['file', 'lines'] as const;

/** An input of native items, in an object of the bucket or in the order itself. */
async function nativeInput(
  kind: (typeof NATIVE_INPUTS)[number],
  items: readonly object[],
): Promise<JobInput> {
  const text = items.map((item) => JSON.stringify(item)).join('\n');
  if (kind === 'lines') return { kind, text };
  const key = `${crypto.randomUUID()}/files/lines`;
  await bucket.put(key, text);
  return { kind, key, form: 'native' };
}

test.each(NATIVE_INPUTS)(
  'native items of %s are bodies with the settings of the job, and named by their numbers',
  async (kind) => {
    const url = 'https://images.example.org/a.png';
    const items = [{ image: { url } }, { id: 'mine', image: { url }, max_tokens: 3 }];
    const native = await createJob([], {
      kind: 'job',
      settings: { max_tokens: 7 },
      input: await nativeInput(kind, items),
    });
    const received = [...(await native.receive()), ...(await native.receive(1))];
    const tokens = received.map(({ message: { item, task } }) => [
      item,
      task.kind === 'generate' && task.generation.max_tokens,
    ]);
    expect(Object.fromEntries(tokens)).toEqual({ 0: 7, 1: 3 });
    await native.run();
    expect((await native.results()).map(({ custom_id }) => custom_id)).toEqual(['0', 'mine']);
  },
);

test.each(NATIVE_INPUTS)(
  'native items of %s are read on where a part is full, and wrong ones named by their lines',
  async (kind) => {
    const image = { url: 'https://images.example.org/é.png' };
    const items = Array.from({ length: 120 }, (_, i) => ({ id: `é-${i}`, image }));
    const input = await nativeInput(kind, items);
    const job = await createJob([], { kind: 'job', input });
    expect(await job.until('in_progress')).toMatchObject({ parts: 3, counts: { total: 120 } });
    const twice = await nativeInput(kind, [...items, items[60] ?? {}]);
    const { errors } = await (await createJob([], { kind: 'job', input: twice })).until('failed');
    expect(errors).toMatchObject([{ line: 121, param: 'id' }]);
  },
);

test('items in the order of a job are there until they were read, and no longer', async () => {
  const image = { url: 'https://images.example.org/a.png' };
  const input = await nativeInput('lines', [{ image }]);
  const job = await createJob([], { kind: 'job', input });
  const { order } = await job.until('in_progress');
  expect(order.input).toEqual({ kind: 'lines', text: '' });
});

test('twenty thousand lines are read part by part, each from where the one before ended', async () => {
  const owner = 'b'.repeat(64);
  const key = `${owner}/files/large`;
  const count = 20_000;
  const text = Array.from({ length: count }, (_, i) => JSON.stringify(line(`item-${i}`))).join(
    '\n',
  );
  await bucket.put(key, text);
  const order = orderOf(owner, key);
  const config = { jobsPartItems: 1000, jobsMaxItems: count, maxImageBytes: 1000 };
  const ids: Uint8Array<ArrayBuffer>[] = [];
  let cursor: Cursor = { offset: 0, line: 0, items: 0 };
  for (let isDone = false; !isDone; ) {
    const ingested = await ingestPart({ files: bucket, images: undefined }, config, {
      job: 'c'.repeat(96),
      order,
      cursor,
      part: ids.length,
      errors: 0,
    });
    expect(ingested.errors).toEqual([]);
    ({ cursor, isDone } = ingested);
    if (ingested.part !== null) ids.push(ingested.part.ids);
  }
  expect(cursor).toEqual({ offset: text.length, line: count, items: count });
  expect(ids).toHaveLength(20);
  // What is held of an item while all are compared.
  expect(ids.reduce((sum, { length }) => sum + length, 0)).toBe(12 * count);
  expect(await findDuplicates(count, () => ids, 100)).toEqual([]);
  const { objects } = await bucket.list({ prefix: `${owner}/jobs/` });
  expect(objects).toHaveLength(20);
}, 60_000);

test('what is no UTF-8 is refused, and a mark of the order of bytes is not', async () => {
  const key = 'utf-8/files/lines';
  const text = new TextEncoder().encode(`\uFEFF${JSON.stringify(line('a'))}\n"\xff"\n`);
  const bytes = text.map((byte) => (byte === 0xc3 ? 0xff : byte));
  await bucket.put(key, bytes);
  const job = await createJob([], { input: { kind: 'file', key, form: 'batch' } });
  const { errors } = await job.until('failed');
  expect(errors).toEqual([
    { line: 2, code: 'invalid_json_line', message: 'The line is not UTF-8.', param: null },
  ]);
});

test('what failed is run again, by its names, with the images that were in it', async () => {
  const image = newImage();
  const lines = Array.from({ length: 120 }, (_, i) => line(`item-${i}`));
  lines[60] = line('item-60', { body: { image: { data: base64(image) } } });
  const isBad = ({ part, item }: { part: number; item: number }) => (50 * part + item) % 20 === 0;
  const first = await createJob(lines);
  await first.run((message) =>
    isBad(message) ? failed('invalid-image', 'It is cut off.') : caption(message),
  );
  const { owner } = (await first.snapshot()).order;
  const input = { kind: 'failed-of', job: first.id } as const;
  const again = await createJob([], { owner, input });
  await again.receive();
  expect(await (first.stub as unknown as JobObject).forget(first.id)).toBe(true);
  const response = await again.source(0, 3);
  const [frame] = await Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));
  expect(frame?.payload).toEqual(image);
  expect((await again.run()).counts).toEqual({ total: 6, completed: 6, failed: 0, canceled: 0 });
  const names = (await again.results()).map(({ custom_id }) => custom_id);
  expect(names).toEqual([0, 20, 40, 60, 80, 100].map((i) => `item-${i}`));
  const nothing = await createJob([], { owner, input: { kind: 'failed-of', job: again.id } });
  expect((await nothing.until('failed')).errors).toMatchObject([{ code: 'empty_file' }]);
}, 60_000);

test('images of the operator are items named by their keys', async () => {
  const album = `album-${crypto.randomUUID()}`;
  const images = bound(testEnv.JOB_IMAGES);
  const image = newImage();
  await images.put(`${album}/a b.png`, image);
  await images.put(`${album}/b`, image, { httpMetadata: { contentType: 'image/png' } });
  await images.put(`${album}/notes.txt`, 'none');
  await images.put(`${album}-other/c.png`, image);
  const job = await createJob([], { kind: 'job', input: { kind: 'prefix', prefix: `${album}/` } });
  const [received] = await job.receive();
  expect(received?.message.source).toEqual({ edge: true });
  const response = await job.source(0, 0);
  const [frame] = await Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));
  expect(frame?.payload).toEqual(image);
  await job.run();
  expect(await job.results()).toMatchObject([
    { custom_id: `${album}/a b.png`, outcome: 'completed' },
    { custom_id: `${album}/b`, outcome: 'completed' },
  ]);
  // Others name them in vain.
  const url = `https://job-bucket.invalid/${encodeURIComponent(`${album}/b`)}`;
  const foreign = await createJob([line('x', { body: { image: { url } } })]);
  await foreign.until('completed');
  expect((await foreign.results())[0]).toMatchObject({
    outcome: 'failed',
    body: { type: '/problems/image-url-refused' },
  });
});

test('a file of empty lines is read in steps, each of which is stored', async () => {
  const owner = 'blank';
  const key = `${owner}/files/lines`;
  const blank = 300_000;
  await bucket.put(key, `${'\n'.repeat(blank)}${JSON.stringify(line('a'))}\n`);
  const order = orderOf(owner, key);
  const config = { jobsPartItems: 1000, jobsMaxItems: 1_000_000, maxImageBytes: 1000 };
  const lines: number[] = [];
  let cursor: Cursor = { offset: 0, line: 0, items: 0 };
  let part = null;
  for (let isDone = false; !isDone; ) {
    const ingested = await ingestPart({ files: bucket, images: undefined }, config, {
      ...{ job: 'd'.repeat(96), order, cursor, part: 0, errors: 0 },
    });
    ({ cursor, isDone, part } = ingested);
    lines.push(cursor.line);
  }
  expect(lines).toHaveLength(3);
  expect(lines.at(-1)).toBe(blank + 1);
  expect(part).toMatchObject({ items: 1 });
});

test('others come in between while lines are read', async () => {
  const key = 'turns/files/lines';
  await bucket.put(key, '\n'.repeat(100_000));
  const config = { jobsPartItems: 1000, jobsMaxItems: 1_000_000, maxImageBytes: 1000 };
  let turns = 0;
  let isOver = false;
  const others = (async () => {
    for (; !isOver; turns++) await scheduler.wait(1);
  })();
  await ingestPart({ files: bucket, images: undefined }, config, {
    ...{ job: 'e'.repeat(96), order: orderOf('turns', key), part: 0, errors: 0 },
    cursor: { offset: 0, line: 0, items: 0 },
  });
  isOver = true;
  await others;
  expect(turns).toBeGreaterThan(10);
});

test('keys of which none is an image’s are read in steps, each of which is stored', async () => {
  const keys = Array.from({ length: 200_000 }, (_, i) => `logs/${String(i).padStart(6, '0')}.txt`);
  let lists = 0;
  const images = {
    list: async ({ limit = 1000, startAfter = '' }: R2ListOptions) => {
      lists += 1;
      const from = startAfter === '' ? 0 : keys.indexOf(startAfter) + 1;
      const objects = keys.slice(from, from + limit).map((key) => ({ key }));
      return { objects, truncated: from + limit < keys.length };
    },
  } as unknown as R2Bucket;
  const order = { ...orderOf('prefix', ''), input: { kind: 'prefix', prefix: 'logs/' } as const };
  const config = { jobsPartItems: 1000, jobsMaxItems: 10, maxImageBytes: 1000 };
  let [steps, cursor]: [number, Cursor] = [0, { offset: 0, line: 0, items: 0 }];
  for (let isDone = false; !isDone; steps++) {
    ({ cursor, isDone } = await ingestPart({ files: bucket, images }, config, {
      ...{ job: 'e'.repeat(96), order, cursor, part: 0, errors: 0 },
    }));
  }
  expect(lists).toBe(200);
  expect(steps).toBeGreaterThan(1);
});

test('blank lines are read only so far', async () => {
  const key = `${crypto.randomUUID()}/files/lines`;
  await bucket.put(key, ' \n'.repeat(1021));
  const config = { jobsPartItems: 50, jobsMaxItems: 10, maxImageBytes: 1000 };
  const read = await ingestPart({ files: bucket, images: undefined }, config, {
    ...{ job: 'a'.repeat(96), order: orderOf('a'.repeat(64), key), part: 0, errors: 0 },
    cursor: { offset: 0, line: 0, items: 0 },
  });
  expect(read.errors).toMatchObject([{ line: 1021, code: 'too_many_lines' }]);
  expect([read.part, read.isDone]).toEqual([null, true]);
});
