/** What GPU workers ask of the parts of jobs, signed with a secret that both sides have: no part of the API. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { encodeFrame, FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import { checkImage } from '@blip2/shared/image-format';
import { BeginRequest, CommitRequest, SOURCE_FAILURES_HEADER } from '@blip2/shared/jobs/commit';
import { ItemNumber, JobId, PartNumber } from '@blip2/shared/jobs/message';
import { isSigned, SIGNATURE_HEADER } from '@blip2/shared/jobs/signature';
import { validate } from '@blip2/shared/validate';
import type { Hono } from 'hono';
import type { Dependencies } from '../../dependencies.ts';
import { unknownImage } from '../../embeddings/resolve-embeddings.ts';
import { clientOf } from '../../http/client-address.ts';
import { bodyTooLarge, readLimited } from '../../http/read-limited.ts';
import { PassingFailure } from '../../image/fetch-failures.ts';
import { fetchImage } from '../../image/fetch-image.ts';
import { fetchTurns } from '../../image/fetch-turns.ts';
import type { JobPartObject, SourceOfItem } from '../../jobs/contract.ts';
import { type AppContext, type AppEnv, requestContextOf } from '../app-context.ts';

const PART = '/internal/jobs/:job/parts/:part';

export function addJobRoutes(app: Hono<AppEnv>, deps: Dependencies): void {
  app.post(`${PART}/commit`, async (c) => {
    const { part, body } = await admitted(c, deps);
    const request = validate(CommitRequest, parsed(body));
    const reply = await part.commit(request);
    return reply === null ? new Response(null, { status: 410 }) : c.json(reply);
  });
  app.post(`${PART}/items/:item/begin`, async (c) => {
    const { part, body } = await admitted(c, deps);
    // Workers of before send nothing.
    const { attempt } = body.length === 0 ? {} : validate(BeginRequest, parsed(body));
    const mayRun = await part.begin(itemOf(c), attempt);
    return new Response(null, { status: mayRun ? 204 : 410 });
  });
  app.get(`${PART}/items/:item/source`, async (c) => {
    const { part } = await admitted(c, deps);
    const item = itemOf(c);
    const { failures = 0, ...source } = await part.source(item);
    if (source.kind === 'ended') return new Response(null, { status: 410 });
    try {
      const { type, payload } = await read(c, deps, source);
      return new Response(encodeFrame(type, payload), {
        headers: {
          'content-type': FRAMES_MEDIA_TYPE,
          'cache-control': 'no-store',
          ...failed(failures),
        },
      });
    } catch (thrown) {
      const error = ApiError.from(thrown);
      const mayPass =
        error instanceof PassingFailure || error.status === 429 || error.status >= 500;
      const isRefusal = REFUSALS.has(error.slug);
      const isOver = await part.sourceFailed(item, error.toProblem(), mayPass, isRefusal);
      return isOver
        ? new Response(null, { status: 410 })
        : problemResponse(unavailable(error, failures + 1));
    }
  });
}

/** Of the edge's own turns and memory: hosts of images fail otherwise. */
const REFUSALS = new Set(['too-many-requests', 'overloaded']);

/** @throws ApiError `not-found` */
function itemOf(c: AppContext): number {
  const { data } = ItemNumber.safeParse(Number(c.req.param('item')));
  if (data === undefined) throw noSuchPart();
  return data;
}

type Admitted = { part: JobPartObject; body: Uint8Array<ArrayBuffer> };

/** Whoever signs with the secret is a worker; everybody else learns nothing. */
async function admitted(c: AppContext, deps: Dependencies): Promise<Admitted> {
  const { config, jobParts } = deps;
  const header = c.req.raw.headers.get(SIGNATURE_HEADER);
  if (header === null) throw unsigned();
  // Who has signed shows once the body is there: until then whoever sends it has a client's time and memory, and no worker's.
  const { maxHeldBytes, deadlineMs: ms } = config;
  const limits = { maxHeldBytes, client: clientOf(c.req.raw.headers, config), ms };
  const body =
    c.req.method === 'GET'
      ? new Uint8Array(0)
      : await readLimited(c.req.raw, config.maxBodyBytes, limits);
  const { pathname, search } = new URL(c.req.url);
  const request = { method: c.req.method, path: `${pathname}${search}`, body };
  if (!(await isSigned(config.jobsSecrets, request, header, deps.now()))) throw unsigned();
  const job = JobId.safeParse(c.req.param('job'));
  const part = PartNumber.safeParse(Number(c.req.param('part')));
  if (!job.success || !part.success || jobParts === undefined) throw noSuchPart();
  const object = jobParts.getByName(`${job.data}/${part.data}`) as unknown as JobPartObject;
  return { part: object, body };
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch (cause) {
    throw new ApiError('invalid-json', 'The body is no JSON.', { cause });
  }
}

type Read = { type: 'image' | 'embeddings'; payload: Uint8Array };

/** @throws ApiError why it cannot be had */
async function read(
  c: AppContext,
  deps: Dependencies,
  source: Exclude<SourceOfItem, { kind: 'ended' }>,
): Promise<Read> {
  const { config, fetch, jobFiles, jobImages, stores } = deps;
  const context = requestContextOf(c, deps);
  if (source.kind === 'url') {
    const { allowPrivateImageUrls: allowPrivate, imageUserAgent: userAgent } = config;
    const { maxImageBytes: maxBytes, maxHeldBytes } = config;
    const { signal } = context;
    const limits = { maxBytes, maxHeldBytes, client: source.client, allowPrivate };
    // It is a request of its own, for which no object waits.
    const turn = fetchTurns(source.client, context, deps.now);
    const payload = await fetchImage(source.url, { fetch, ...limits, userAgent, signal, turn });
    return { type: 'image', payload };
  }
  if (source.kind === 'stored') return await stored(jobFiles, source.key, config);
  if (source.kind === 'object') return await stored(jobImages, source.key, config);
  const { namespace, sha256, instructionIds } = source;
  const ours = { ...context, namespace };
  const id = await embeddingIdOf(imagePathOf(namespace, sha256), instructionIds);
  const lookup = await stores.query.cache.read(id, ours);
  if (lookup.kind === 'hit') return { type: 'embeddings', payload: lookup.entry.embeddings };
  if (lookup.reason === 'failed') throw new ApiError('cache-unavailable', 'KV does not answer.');
  // A cache may lose them before the item is run: its image is sent instead.
  if (source.key !== undefined) return await stored(jobFiles, source.key, config);
  throw await unknownImage(stores.query, { id: sha256, instructionIds }, ours);
}

async function stored(
  bucket: R2Bucket | undefined,
  key: string,
  { maxImageBytes: maxBytes }: Dependencies['config'],
): Promise<Read> {
  const object = await bucket?.get(key);
  if (!object) throw new ApiError('no-image', 'The image of this item is not stored any more.');
  if (object.size > maxBytes) {
    await object.body.cancel();
    throw bodyTooLarge(maxBytes, object.size);
  }
  const payload = new Uint8Array(await object.arrayBuffer());
  checkImage(payload, { maxBytes });
  return { type: 'image', payload };
}

function unavailable(error: ApiError, failures: number): ApiError {
  const options = { retry_after: 5, cause: error, headers: failed(failures) };
  return new ApiError('cache-unavailable', error.message, options);
}

function failed(failures: number): Record<string, string> {
  return { [SOURCE_FAILURES_HEADER]: String(failures) };
}

function unsigned(): ApiError {
  return new ApiError(
    'invalid-key',
    'This is for GPU workers alone: a request has to be signed with JOBS_SECRET, by a clock that is right.',
  );
}

function noSuchPart(): ApiError {
  return new ApiError('not-found', 'There is no such part of a job.');
}
