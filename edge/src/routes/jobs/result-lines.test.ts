import { ApiError } from '@blip2/shared/errors';
import { describe, expect, it, vi } from 'vitest';
import type { JobSnapshot, ResultLine } from '../../jobs/contract.ts';
import { isWanted } from '../../jobs/stored-line.ts';
import { ranged } from './rendered-lines.ts';
import type { RenderedLines } from './rendered-size.ts';
import { csvHeader, csvRow } from './result-csv.ts';
import { batchLine, batchLineText, jobLine, jobLineText } from './result-lines.ts';
import { expectResults } from './results.ts';

const done: ResultLine = {
  part: 0,
  item: 3,
  custom_id: 'a',
  outcome: 'completed',
  status: 200,
  body: { caption: 'a "dog", a cat' },
  error: null,
};
const refused: ResultLine = {
  ...done,
  outcome: 'failed',
  status: 400,
  body: { type: '/problems/invalid-image', detail: 'These bytes are not an image.' },
};
const never: ResultLine = {
  ...done,
  outcome: 'expired',
  status: null,
  body: null,
  error: { code: 'batch_expired', message: 'Too late.' },
};
const gaveUp: ResultLine = {
  ...never,
  outcome: 'failed',
  error: { code: 'gave-up', message: 'Twelve times.' },
};

describe('a line of a job', () => {
  it('has a result or an error', () => {
    expect(jobLine(done)).toEqual({
      id: 'a',
      cursor: '0:3',
      status: 200,
      result: done.body,
      error: null,
    });
    expect(jobLine(refused)).toMatchObject({
      status: 400,
      result: null,
      error: { code: 'invalid-image', message: 'These bytes are not an image.' },
    });
    expect(jobLine(never).error).toEqual({ code: 'expired', message: 'Too late.' });
    expect(jobLine(gaveUp).error).toEqual({ code: 'gave-up', message: 'Twelve times.' });
  });

  it('is a row of CSV, quoted where it has to be', () => {
    expect(csvHeader('caption')).toBe('id,cursor,status,caption,error,warnings\r\n');
    expect(csvRow('caption', jobLine(done))).toBe('a,0:3,200,"a ""dog"", a cat",,\r\n');
    expect(csvRow('caption', jobLine(never))).toBe('a,0:3,,,expired: Too late.,\r\n');
    const scores = jobLine({ ...done, body: { scores: [{ text: 'x', itm: 0.5, itc: 0.1 }] } });
    expect(csvRow('match', scores)).toBe(
      'a,0:3,200,"[{""text"":""x"",""itm"":0.5,""itc"":0.1}]",,\r\n',
    );
    const warnings = [{ type: 'outside-training', detail: 'It is a guess.', remedy: 'None.' }];
    expect(csvRow('caption', jobLine({ ...done, body: { caption: 'a dog', warnings } }))).toBe(
      'a,0:3,200,a dog,,outside-training\r\n',
    );
  });

  it.each([
    ['=1+1', "'=1+1"],
    ['=HYPERLINK("https://a.example")', `"'=HYPERLINK(""https://a.example"")"`],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['\r=1', `"'\r=1"`],
    ['\n=1', `"'\n=1"`],
    ['\uff1d1', "'\uff1d1"],
    ['1=1', '1=1'],
    ["'=1", "'=1"],
    [' a', ' a'],
  ])('is no formula in a spreadsheet: %j', (text, cell) => {
    const line = jobLine({ ...done, custom_id: text, body: { caption: text } });
    expect(csvRow('caption', line)).toBe(`${cell},0:3,200,${cell},,\r\n`);
    expect(line).toMatchObject({ id: text, result: { caption: text } });
  });
});

it('a line of a batch has the reply, whatever it says, or an error', () => {
  const batch = 'f'.repeat(96);
  const id = `batch_req_${'f'.repeat(16)}_0_3`;
  const response = { status_code: 200, request_id: id, body: done.body };
  expect(batchLine(done, batch)).toEqual({ id, custom_id: 'a', response, error: null });
  expect(batchLine(refused, batch)).toMatchObject({ response: { status_code: 400 }, error: null });
  expect(batchLine(never, batch)).toEqual({
    id,
    custom_id: 'a',
    response: null,
    error: never.error,
  });
});

const TEXTS: ResultLine[] = [
  done,
  { ...done, custom_id: '\u00e9 "\\ \ud800 ,"outcome":"failed"', sha256: 'a'.repeat(64) },
  { ...done, custom_id: '\u0000'.repeat(1024) },
  { ...done, custom_id: '\u0000'.repeat(1400) },
  { ...done, body: { embeddings: [[1e-7, -0.1234567, 3]], error: null, sha256: 'b'.repeat(64) } },
  { ...done, body: 'text,"error":null}' },
  { ...done, body: null },
  refused,
  never,
  gaveUp,
];

describe('a stored line', () => {
  it.each(TEXTS)('is written as it would be if it were parsed (%#)', (line) => {
    const stored = JSON.stringify(line);
    const parsed = JSON.parse(stored) as ResultLine;
    expect(jobLineText(stored)).toBe(`${JSON.stringify(jobLine(parsed))}\n`);
    const batch = 'f'.repeat(96);
    const { body } = line;
    // A batch has no lines without a reply in its output.
    if (body !== null || line.outcome !== 'completed') {
      expect(batchLineText(stored, batch)).toBe(`${JSON.stringify(batchLine(parsed, batch))}\n`);
    }
    const isDone = line.outcome === 'completed';
    expect(isWanted(stored, 'completed')).toBe(isDone);
    expect(isWanted(stored, 'failed')).toBe(!isDone);
    expect(isWanted(stored, 'all')).toBe(true);
  });

  it('is not parsed where it was completed, nor to see that it was not', () => {
    const parse = vi.spyOn(JSON, 'parse');
    try {
      const stored = JSON.stringify(done);
      jobLineText(stored);
      batchLineText(stored, 'f');
      expect(isWanted(stored, 'failed')).toBe(false);
      expect(isWanted(JSON.stringify(refused), 'failed')).toBe(true);
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });
});

describe('ranged', () => {
  const text = 'first line\nsecond line\n';
  let reads = 0;
  const lines: RenderedLines = async function* () {
    reads++;
    for (const piece of text.match(/.{1,5}/gs) ?? []) {
      yield { bytes: new TextEncoder().encode(piece), next: null };
    }
  };
  const get = (range?: string, tag = 'a') => ranged(lines, { tag, range, headers: {} });

  it.each([
    ['bytes=0-4', 'first', 'bytes 0-4/23'],
    ['bytes=11-', 'second line\n', 'bytes 11-22/23'],
    ['bytes=-5', 'line\n', 'bytes 18-22/23'],
    ['bytes=20-9999', 'ne\n', 'bytes 20-22/23'],
  ])('%s', async (range, part, where) => {
    const reply = await get(range);
    expect(reply.status).toBe(206);
    expect(reply.headers.get('content-range')).toBe(where);
    expect(reply.headers.get('content-length')).toBe(String(part.length));
    expect(await reply.text()).toBe(part);
  });

  it.each([undefined, 'bytes=0-1,3-4', 'lines=1-2', 'bytes=-'])('%s gets all', async (range) => {
    const reply = await get(range);
    expect(reply.status).toBe(200);
    expect(await reply.text()).toBe(text);
  });

  it.each(['bytes=23-', 'bytes=5-4', 'bytes=-0'])('%s is refused', async (range) => {
    await expect(get(range)).rejects.toMatchObject({ slug: 'range-not-satisfiable' });
  });

  it('counts the bytes once for all ranges of the same', async () => {
    await (await get('bytes=0-1', 'b')).text();
    reads = 0;
    await (await get('bytes=2-3', 'b')).text();
    expect(reads).toBe(1);
  });
});

it.each([
  ['validating', 0, 'still being read'],
  ['failed', 0, 'errors'],
])('there is nothing to read of a job that is %s', (state, parts, why) => {
  const read = () => expectResults({ state, parts } as JobSnapshot);
  expect(read).toThrow(ApiError);
  expect(read).toThrow(why);
});
