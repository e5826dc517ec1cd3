/** `blip2 jobs create`: from images to one job, or several where one file does not take them all. */
import { randomUUID } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Job, JobEstimate } from '@blip2/shared/schemas/jobs/job';
import { type JobRequest, MAX_INLINE_ITEMS } from '@blip2/shared/schemas/jobs/request';
import type * as z from 'zod/mini';
import type { Api } from './api.ts';
import { type Pack, type PackLimits, packsOf } from './packs.ts';
import { upload } from './upload.ts';

/** A request of more bytes is lines. */
const MAX_INLINE_BYTES = 4 * 2 ** 20;

type JobMembers = Omit<JobRequest, 'items' | 'input'>;

export type NewJob = {
  options: Omit<JobMembers, 'dry_run'>;
  /** Where the images are not in a bucket of the service: a line for each. */
  input: { lines: AsyncGenerator<string, void, undefined> } | { prefix: string };
  limits: PackLimits;
  /** Requests with it create one job, however often they are sent; the second job of the same lines has `-2` behind it. */
  idempotencyKey?: string | undefined;
};

/** Jobs as they are created. @throws CliError with what the service says */
export async function* createJobs(
  api: Api,
  { options, idempotencyKey, ...job }: NewJob,
): AsyncGenerator<Job, void, undefined> {
  let number = 0;
  for await (const input of inputsOf(job)) {
    number++;
    const key = number === 1 ? idempotencyKey : `${idempotencyKey}-${number}`;
    yield await send(api, Job, options, { input, key: idempotencyKey && key });
  }
}

/** What the same jobs would cost together; null where there are no images. */
export async function estimateJobs(
  api: Api,
  { options, ...job }: NewJob,
): Promise<JobEstimate | null> {
  let total: JobEstimate | null = null;
  for await (const input of inputsOf(job)) {
    const estimate = await send(api, JobEstimate, { ...options, dry_run: true }, { input });
    total = total === null ? estimate : sumOf(total, estimate);
  }
  return total;
}

function sumOf(one: JobEstimate, other: JobEstimate): JobEstimate {
  const sum = (a: number | null, b: number | null) => (a === null || b === null ? null : a + b);
  return {
    ...other,
    items: one.items + other.items,
    known_images: sum(one.known_images, other.known_images),
    gpu_seconds: sum(one.gpu_seconds, other.gpu_seconds),
    based_on: {
      ...other.based_on,
      images_looked_up: one.based_on.images_looked_up + other.based_on.images_looked_up,
    },
  };
}

type Input = Pack | { prefix: string };

async function* inputsOf({ input, limits }: Pick<NewJob, 'input' | 'limits'>) {
  if ('prefix' in input) yield input;
  else yield* packsOf(input.lines, limits);
}

/**
 * Few items are members of the request. Many are a file; or the body itself, with all else in the query, where it must be
 * the same each time or nothing is to be stored.
 */
async function send<T>(
  api: Api,
  schema: z.ZodMiniType<T>,
  options: JobMembers,
  { input, key }: { input: Input; key?: string | undefined },
): Promise<T> {
  const headers = { 'idempotency-key': key ?? randomUUID() };
  const post = (type: string, body: string | Blob, query = '') =>
    api.json(schema, `/v1/jobs${query}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': type },
      body,
    });
  if ('prefix' in input) {
    return await post('application/json', JSON.stringify({ ...options, input }));
  }
  const { path, lines, bytes } = input;
  if (lines <= MAX_INLINE_ITEMS && bytes <= MAX_INLINE_BYTES) {
    const items = (await readFile(path, 'utf8')).trimEnd().split('\n').join(',');
    const members = JSON.stringify(options).slice(0, -1);
    return await post('application/json', `${members},"items":[${items}]}`);
  }
  if (key !== undefined || options.dry_run) {
    return await post('application/x-ndjson', await openAsBlob(path), queryOf(options));
  }
  const file_id = await upload(api, path);
  return await post('application/json', JSON.stringify({ ...options, input: { file_id } }));
}

function queryOf(options: JobMembers): string {
  const query = Object.entries(options).map(([name, value]): [string, string] => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return `?${new URLSearchParams(query)}`;
}
