/** One part of an offline run: sends a file of lines to the edge as a job, waits, and writes the results beside it. */
import { existsSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { choice, headerText, httpUrl, text, wholeNumber } from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import { ConfigError, readOptions } from '@blip2/shared/config/read-options';
import { SENT_IN_VAIN } from './exit-codes.ts';

const group = 'Offline parts';

const PART_OPTIONS = {
  index: option({
    env: 'JOB_COMPLETION_INDEX',
    kind: wholeNumber(0, 99_999),
    default: 0,
    group,
    help: 'number of the part, which Kubernetes sets',
  }),
  edgeUrl: option({
    env: 'PARTS_EDGE_URL',
    kind: httpUrl(),
    default: 'http://127.0.0.1:8787',
    group,
    help: 'address of the edge',
  }),
  key: option({
    env: 'PARTS_KEY',
    kind: headerText('KEY'),
    secret: true,
    group,
    help: 'key for the edge',
  }),
  folder: option({
    env: 'PARTS_FOLDER',
    kind: text('FOLDER'),
    default: '.',
    group,
    help: 'folder of part-00000.jsonl and so on, where results go too',
  }),
  run: option({
    env: 'PARTS_RUN',
    kind: text('NAME'),
    default: 'once',
    group,
    help: 'name of the run: a part of the same run is never sent twice within a day',
  }),
  task: option({
    env: 'PARTS_TASK',
    kind: choice('caption', 'answer', 'embeddings', 'match'),
    default: 'caption',
    group,
    help: 'task of the lines',
  }),
  pollMs: option({
    env: 'PARTS_POLL_MS',
    kind: wholeNumber(10, 600_000),
    default: 5000,
    group,
    help: 'time between two looks at the job, milliseconds',
  }),
};

type PartOptions = Values<typeof PART_OPTIONS>;

/** The edge has refused something for good: the same again would be refused again. */
class InVain extends Error {}

type Job = { id: string; status: string; errors?: unknown };

const ENDED = new Set(['completed', 'failed', 'cancelled', 'expired']);
/** For one call; the edge answers within its own deadlines. Results take as long as their bytes. */
const CALL_MS = 120_000;
const RESULTS_MS = 3_600_000;

/**
 * Runs a part to its end, or finds that it was run before.
 * @returns path of the results, which are whole
 * @throws InVain where another try would end as this one
 */
async function runPart(options: PartOptions): Promise<string> {
  const { folder, index, run, task, pollMs } = options;
  const name = join(folder, `part-${String(index).padStart(5, '0')}`);
  const results = `${name}.results.jsonl`;
  if (existsSync(results)) return results;
  const lines = await readFile(`${name}.jsonl`).catch((cause: Error) => {
    throw new InVain(`${name}.jsonl cannot be read.`, { cause });
  });
  const created = await call(options, `/v1/jobs?task=${task}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': `${run}-${index}` },
    body: lines,
  });
  let job = (await created.json()) as Job;
  while (!ENDED.has(job.status)) {
    await setTimeout(pollMs);
    job = (await (await call(options, `/v1/jobs/${job.id}`)).json()) as Job;
  }
  if (job.status === 'failed') {
    throw new InVain(`The lines of ${name}.jsonl were refused: ${JSON.stringify(job.errors)}`);
  }
  const signal = AbortSignal.timeout(RESULTS_MS);
  const response = await call(options, `/v1/jobs/${job.id}/results`, { signal });
  const file = await open(`${results}.${process.pid}`, 'w');
  await pipeline(response.body!, file.createWriteStream({ flush: true }));
  await rename(`${results}.${process.pid}`, results);
  return results;
}

async function call({ edgeUrl, key }: PartOptions, path: string, init: RequestInit = {}) {
  const headers = new Headers(init.headers);
  if (key !== undefined) headers.set('authorization', `Bearer ${key}`);
  const url = new URL(path, edgeUrl);
  const signal = init.signal ?? AbortSignal.timeout(CALL_MS);
  const response = await fetch(url, { ...init, headers, signal });
  if (response.ok) return response;
  const problem = `${url.pathname} was answered with ${response.status}: ${await response.text()}`;
  const mayPass = response.status >= 500 || [408, 409, 425, 429].includes(response.status);
  throw mayPass ? new Error(problem) : new InVain(problem);
}

if (import.meta.main) {
  try {
    console.log(await runPart(readOptions(PART_OPTIONS, { env: process.env })));
  } catch (error) {
    const { message, cause } = error as Error;
    console.error(cause instanceof Error ? `${message} ${cause.message}` : message);
    process.exit(error instanceof InVain || error instanceof ConfigError ? SENT_IN_VAIN : 1);
  }
}
