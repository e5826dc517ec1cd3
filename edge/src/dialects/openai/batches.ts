/** `/v1/batches`: the lines of a file are run as a job, whose results are read as files. */

import { BatchQuery } from '@blip2/shared/schemas/jobs/query';
import { type Batch, type BatchList, BatchRequest } from '@blip2/shared/schemas/openai/batches';
import { validate } from '@blip2/shared/validate';
import { originOf } from '../../http/origin.ts';
import { readQuery } from '../../http/read-query.ts';
import { readJsonObject } from '../../http/request-body.ts';
import { ENDED, ID_PREFIXES, type JobSnapshot } from '../../jobs/contract.ts';
import { fileKey, JOB_STORED_MS } from '../../jobs/job-index-contract.ts';
import {
  clientIn,
  type Handler,
  type IsThere,
  readingOf,
  traceIn,
} from '../../routes/app-context.ts';
import { findJob, jobOf, listJobs } from '../../routes/jobs/job-access.ts';
import { openJob } from '../../routes/jobs/open-job.ts';
import { beginOpening } from '../../routes/jobs/opening-turns.ts';
import { jobSender, ownerOf, roomOf, storedMsOf } from '../../routes/jobs/owner.ts';
import { shownTimes, shownUsage, shownWebhook } from '../../routes/jobs/present.ts';
import { webhookOf } from '../../routes/jobs/webhook.ts';
import { storedJson } from '../../routes/large-reply.ts';
import { batchFileId } from './batch-files.ts';
import { listOf, uploadedLines } from './files.ts';

const NOT_STORED = { 'cache-control': 'no-store' };
const WINDOW_MS = 86_400_000;
const PAGE = 20;

export const createBatch: Handler = async (c, deps) => {
  const takeTurn = await beginOpening(c, ownerOf(c, deps).id);
  const body = validate(BatchRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { input_file_id, endpoint, metadata = {}, output_expires_after } = body;
  const { webhook, secret } = webhookOf('batch', body.webhook, deps);
  const file = await uploadedLines(c, deps, input_file_id, 'input_file_id');
  await takeTurn();
  const order = {
    kind: 'batch' as const,
    client: clientIn(c, deps.config),
    sender: jobSender(c, deps),
    namespace: c.get('caller')?.namespace ?? '',
    url: endpoint,
    settings: {},
    cacheEmbeddings: false,
    expiresAt: deps.now() + WINDOW_MS,
    metadata,
    ...(webhook && { webhook }),
    origin: originOf(c.req.url),
  };
  const askedMs = 1000 * (output_expires_after?.seconds ?? JOB_STORED_MS / 1000);
  const snapshot = await openJob(deps, ownerOf(c, deps), order, {
    store: async () => ({ kind: 'file', key: fileKey(file.id), form: 'batch' }),
    storedMs: storedMsOf(c, deps, askedMs),
    room: roomOf(c, deps),
    trace: traceIn(c),
    reads: file.id,
  });
  const batch = shownBatch(snapshot, secret);
  c.get('onNamed')?.(batch.id);
  return c.json(batch, 200, NOT_STORED);
};

export const hasBatch: IsThere = async (c, deps, id) =>
  (await findJob(c, deps, 'batch', id)) !== null;

export const listBatches: Handler = async (c, deps) => {
  const { after, limit = PAGE } = readQuery(c.req.url, BatchQuery);
  const { entries, hasMore } = await listJobs(c, deps, 'batch', { after, limit });
  const list: BatchList = listOf(
    entries.map((snapshot) => shownBatch(snapshot)),
    hasMore,
  );
  return await storedJson(c, deps, list);
};

export const getBatch: Handler = async (c, deps) => {
  const { snapshot } = await jobOf(c, deps, 'batch', c.req.param('batch_id') ?? '');
  return await storedJson(c, deps, shownBatch(snapshot));
};

export const cancelBatch: Handler = async (c, deps) => {
  const { id, job, snapshot } = await jobOf(c, deps, 'batch', c.req.param('batch_id') ?? '');
  const batch = shownBatch((await job.cancel(id)) ?? snapshot);
  c.get('onNamed')?.(batch.id);
  return c.json(batch, 200, NOT_STORED);
};

/** @param secret of its webhook, that was made for it in this request */
function shownBatch(snapshot: JobSnapshot, secret?: string): Batch {
  const { id, state, order, counts, errors } = snapshot;
  const isOver = ENDED.has(state);
  const failed = counts.failed + counts.canceled;
  return {
    id: `${ID_PREFIXES.batch}${id}`,
    object: 'batch',
    endpoint: order.url as Batch['endpoint'],
    errors: errors.length === 0 ? null : { object: 'list', data: errors },
    input_file_id: inputFileOf(snapshot),
    completion_window: '24h',
    status: state,
    output_file_id: isOver && counts.completed > 0 ? batchFileId(id, 'output') : null,
    error_file_id: isOver && failed > 0 ? batchFileId(id, 'errors') : null,
    ...shownTimes(snapshot),
    request_counts: { total: counts.total, completed: counts.completed, failed: counts.failed },
    metadata: Object.keys(order.metadata).length === 0 ? null : order.metadata,
    usage: usageOf(snapshot),
    webhook: shownWebhook(snapshot, secret),
  };
}

/** As OpenAI's clients have it, which expect the details. */
function usageOf(snapshot: JobSnapshot): Batch['usage'] {
  const usage = shownUsage(snapshot);
  return (
    usage && {
      ...usage,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens_details: { reasoning_tokens: 0 },
    }
  );
}

/** The id of the file that a batch reads, which its key ends in. */
function inputFileOf({ order: { input } }: JobSnapshot): string {
  return `file-${input.kind === 'file' ? input.key.slice(input.key.lastIndexOf('/') + 1) : ''}`;
}
