/** `POST /v1/jobs`: checks what is asked, stores the items where they are in the request, and creates the job. */
import { ApiError } from '@blip2/shared/errors';
import {
  JobOptions,
  JobRequest,
  type JobTask,
  ROUTE_OF_TASK,
} from '@blip2/shared/schemas/jobs/request';
import type { Dependencies } from '../../dependencies.ts';
import { uploadedFile } from '../../dialects/openai/files.ts';
import { holdBody } from '../../http/held-bodies.ts';
import { mediaType } from '../../http/media-type.ts';
import { readQuery } from '../../http/read-query.ts';
import { readStream } from '../../http/read-stream.ts';
import { readJsonObject } from '../../http/request-body.ts';
import { validate } from '../../http/validate.ts';
import type { JobInput, JobOrder } from '../../jobs/contract.ts';
import { fileKey } from '../../jobs/job-index-contract.ts';
import { PART_BYTES, writeObject } from '../../jobs/object-writer.ts';
import { type AppContext, clientIn, type Handler, readingOf } from '../app-context.ts';
import { checkItems, checkSettings } from './check-items.ts';
import { type NewJob, openJob } from './open-job.ts';
import { bucketOf, ownerOf } from './owner.ts';
import { shownJob } from './present.ts';
import { webhookOf } from './webhook.ts';

/** What JSON lines are called. */
export const LINES_TYPES = ['application/x-ndjson', 'application/jsonl', 'application/x-jsonlines'];

const DAY_SECONDS = 86_400;
const LONGEST_UPLOAD_MS = 3_600_000;

export const createJob: Handler = async (c, deps) => {
  const isLines = LINES_TYPES.includes(mediaType(c.req.header('content-type') ?? null));
  if (isLines) {
    const options = readQuery(c.req.url, JobOptions);
    checkSettings(options.task, options.settings ?? {});
    return await create(c, deps, options, (job) => lines(c, deps, job));
  }
  const request = validate(JobRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { items, input, task, settings = {}, ...rest } = request;
  checkSettings(task, settings);
  if ((items === undefined) === (input === undefined)) {
    const detail =
      'items: send the items themselves, or say by input where they are: one of the two.';
    throw new ApiError('invalid-request', detail, { field: 'items' });
  }
  if (items !== undefined) checkItems(task, settings, items);
  return await create(c, deps, { task, settings, ...rest }, async (job) => {
    if (items !== undefined) {
      await bucketOf(deps).put(job.inputKey, items.map((item) => JSON.stringify(item)).join('\n'));
      return { kind: 'file', key: job.inputKey, form: 'native' };
    }
    if (input !== undefined && 'prefix' in input) return { kind: 'prefix', prefix: input.prefix };
    const { file } = await uploadedFile(c, deps, input?.file_id ?? '', 'input.file_id');
    return { kind: 'file', key: fileKey(file.id), form: 'native' };
  });
};

/** Stores a body of JSON lines as it comes. */
async function lines(c: AppContext, deps: Dependencies, { inputKey }: NewJob): Promise<JobInput> {
  const { config } = deps;
  const client = clientIn(c, config);
  const held = holdBody(config.maxHeldBytes, { client, ms: LONGEST_UPLOAD_MS });
  try {
    held.add(PART_BYTES);
    const body = readStream(c.req.raw, config.deadlineMs);
    const limits = { maxBytes: config.jobsMaxFileBytes };
    const { bytes } = await writeObject(bucketOf(deps), inputKey, body, limits);
    if (bytes > 0) return { kind: 'file', key: inputKey, form: 'native' };
    throw new ApiError('invalid-request', 'The body is empty: send a line for each item.');
  } finally {
    held.close();
  }
}

async function create(
  c: AppContext,
  deps: Dependencies,
  { task, settings = {}, ...options }: Omit<JobOptions, 'task'> & { task: JobTask },
  store: (job: NewJob) => Promise<JobInput>,
): Promise<Response> {
  const { webhook, secret } = webhookOf('job', options.webhook, deps);
  const seconds = options.expires_after ?? DAY_SECONDS;
  const order: Omit<JobOrder, 'input' | 'owner'> = {
    kind: 'job',
    client: clientIn(c, deps.config),
    namespace: c.get('caller')?.namespace ?? '',
    url: ROUTE_OF_TASK[task],
    settings,
    cacheEmbeddings: options.cache_embeddings ?? false,
    expiresAt: deps.now() + 1000 * seconds,
    metadata: options.metadata ?? {},
    ...(webhook && { webhook }),
    origin: new URL(c.req.url).origin,
  };
  const snapshot = await openJob(deps, ownerOf(c, deps), order, store);
  const job = shownJob(snapshot, secret);
  return c.json(job, 202, { location: `/v1/jobs/${job.id}`, 'cache-control': 'no-store' });
}
