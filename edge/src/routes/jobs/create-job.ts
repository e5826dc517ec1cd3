/** `POST /v1/jobs`: checks what is asked, stores the items where they are in the request, and creates the job. */

import { ApiError } from '@blip2/shared/errors';
import {
  JobOptions,
  JobRequest,
  type JobTask,
  ROUTE_OF_TASK,
} from '@blip2/shared/schemas/jobs/request';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { idOfFile, uploadedLines } from '../../dialects/openai/files.ts';
import { holdBody } from '../../http/held-bodies.ts';
import { mediaType } from '../../http/media-type.ts';
import { originOf } from '../../http/origin.ts';
import { readQuery } from '../../http/read-query.ts';
import { readStream } from '../../http/read-stream.ts';
import { readJsonObject } from '../../http/request-body.ts';
import type { JobInput, JobOrder } from '../../jobs/contract.ts';
import { fileKey, JOB_STORED_MS, LONGEST_UPLOAD_MS } from '../../jobs/job-index-contract.ts';
import { heldChunks, writeObject } from '../../jobs/object-writer.ts';
import {
  type AppContext,
  clientIn,
  type Handler,
  readingOf,
  requestContextOf,
  traceIn,
} from '../app-context.ts';
import { checkItems, checkSettings } from './check-items.ts';
import { countBody, countInput } from './count-items.ts';
import { type CountedItems, estimate, MAX_LOOKED_UP } from './estimate.ts';
import { jobsOf } from './job-access.ts';
import { type NewJob, openJob } from './open-job.ts';
import { beginOpening, openingTurns } from './opening-turns.ts';
import { bucketOf, jobSender, ownerOf, roomOf, storedMsOf } from './owner.ts';
import { shownJob } from './present.ts';
import { type AskedWebhook, webhookOf } from './webhook.ts';

/** What JSON lines are called. */
const LINES_TYPES = ['application/x-ndjson', 'application/jsonl', 'application/x-jsonlines'];

const DAY_SECONDS = 86_400;
/** Items that go with the order to the job's object. */
const MAX_ORDER_CHARACTERS = 2 ** 14;

export const createJob: Handler = async (c, deps) => {
  const type = mediaType(c.req.header('content-type') ?? null);
  return LINES_TYPES.includes(type)
    ? await createFromLines(c, deps)
    : await createFromJson(c, deps);
};

/** The body is the items, and all else is in the query. */
async function createFromLines(c: AppContext, deps: Dependencies): Promise<Response> {
  const options = readQuery(c.req.url, JobOptions);
  const webhook = checkOptions(deps, options);
  if (c.req.header('content-length') === '0') throw noLines();
  // Before its body is read, which nothing bounds from then on.
  await openingTurns.take(ownerOf(c, deps).id);
  if (options.dry_run) {
    return await replyWithEstimate(c, deps, options.task, await countBody(c, deps));
  }
  return await create(c, deps, { ...options, webhook }, (job) => lines(c, deps, job));
}

/**
 * All that may be wrong before an item is looked at: a dry run refuses the same.
 * @throws ApiError `invalid-request`, `unsupported-parameter`, `jobs-unavailable`
 */
function checkOptions(deps: Dependencies, options: JobOptions): AskedWebhook {
  checkSettings(options.task, options.settings ?? {});
  const webhook = webhookOf('job', options.webhook, deps);
  jobsOf(deps);
  return webhook;
}

async function createFromJson(c: AppContext, deps: Dependencies): Promise<Response> {
  const takeTurn = await beginOpening(c, ownerOf(c, deps).id);
  const request = validate(JobRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { items, input, ...options } = request;
  const { task, settings = {} } = options;
  const webhook = checkOptions(deps, options);
  if ((items === undefined) === (input === undefined)) {
    const detail =
      'items: send the items themselves, or say by input where they are: one of the two.';
    throw new ApiError('invalid-request', detail, { field: 'items' });
  }
  if (items !== undefined) checkItems(task, settings, items);
  await takeTurn();
  if (items === undefined) {
    const stored = await storedInput(c, deps, input);
    if (options.dry_run)
      return await replyWithEstimate(c, deps, task, await countInput(c, deps, stored));
    const reads = input !== undefined && 'file_id' in input ? idOfFile(input.file_id) : undefined;
    return await create(c, deps, { ...options, webhook }, async () => stored, reads);
  }
  if (options.dry_run) {
    return await replyWithEstimate(c, deps, task, {
      items: items.length,
      first: items.slice(0, MAX_LOOKED_UP),
    });
  }
  return await create(c, deps, { ...options, webhook }, async ({ inputKey: key }) => {
    const text = items.map((item) => JSON.stringify(item)).join('\n');
    if (text.length <= MAX_ORDER_CHARACTERS) return { kind: 'lines', text };
    await bucketOf(deps).put(key, text);
    return { kind: 'file', key, form: 'native' };
  });
}

async function storedInput(
  c: AppContext,
  deps: Dependencies,
  input: JobRequest['input'],
): Promise<JobInput> {
  if (input !== undefined && 'prefix' in input) {
    if (deps.jobImages !== undefined) return { kind: 'prefix', prefix: input.prefix };
    const detail =
      'input.prefix: this service has no bucket of images: send items, or a file of them.';
    throw new ApiError('unsupported-parameter', detail, { field: 'input.prefix' });
  }
  const file = await uploadedLines(c, deps, input?.file_id ?? '', 'input.file_id');
  return { kind: 'file', key: fileKey(file.id), form: 'native' };
}

async function replyWithEstimate(
  c: AppContext,
  deps: Dependencies,
  task: JobTask,
  counted: CountedItems,
) {
  const estimated = await estimate(deps, task, counted, requestContextOf(c, deps));
  return c.json(estimated, 200, { 'cache-control': 'no-store' });
}

/** Stores a body of JSON lines as it comes. */
async function lines(c: AppContext, deps: Dependencies, { inputKey }: NewJob): Promise<JobInput> {
  const { config } = deps;
  const client = clientIn(c, config);
  const held = holdBody(config.maxHeldBytes, {
    client,
    ms: LONGEST_UPLOAD_MS,
    signal: c.req.raw.signal,
    kind: 'upload',
  });
  try {
    const body = heldChunks(readStream(c.req.raw, config.deadlineMs), held);
    const { index } = ownerOf(c, deps);
    const { beyond } = roomOf(c, deps);
    const limits = { maxBytes: config.jobsMaxFileBytes, uploads: index, beyond };
    const { bytes } = await writeObject(bucketOf(deps), inputKey, body, limits);
    if (bytes > 0) return { kind: 'file', key: inputKey, form: 'native' };
    throw noLines();
  } finally {
    held.close();
  }
}

function noLines(): ApiError {
  return new ApiError('invalid-request', 'The body is empty: send a line for each item.');
}

async function create(
  c: AppContext,
  deps: Dependencies,
  { task, settings = {}, ...options }: Omit<JobOptions, 'webhook'> & { webhook: AskedWebhook },
  store: (job: NewJob) => Promise<JobInput>,
  reads?: string,
): Promise<Response> {
  const { webhook, secret } = options.webhook;
  const seconds = options.expires_after ?? DAY_SECONDS;
  const order: Omit<JobOrder, 'input' | 'owner'> = {
    kind: 'job',
    client: clientIn(c, deps.config),
    sender: jobSender(c, deps),
    namespace: c.get('caller')?.namespace ?? '',
    url: ROUTE_OF_TASK[task],
    settings,
    cacheEmbeddings: options.cache_embeddings ?? false,
    expiresAt: deps.now() + 1000 * seconds,
    metadata: options.metadata ?? {},
    ...(webhook && { webhook }),
    origin: originOf(c.req.url),
  };
  const snapshot = await openJob(deps, ownerOf(c, deps), order, {
    store,
    storedMs: storedMsOf(c, deps, JOB_STORED_MS),
    room: roomOf(c, deps),
    trace: traceIn(c),
    ...(reads && { reads }),
  });
  const job = shownJob(snapshot, secret);
  c.get('onNamed')?.(job.id);
  return c.json(job, 202, { location: `/v1/jobs/${job.id}`, 'cache-control': 'no-store' });
}
