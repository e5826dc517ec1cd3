/** What a job would cost, for `dry_run`: its items are counted, the first of them looked up, and the GPU worker asked how long others took. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { embeddingInstruction } from '@blip2/shared/generation/instruction';
import { imageIdOf } from '@blip2/shared/image-id';
import { RequestImage } from '@blip2/shared/schemas/image';
import type { JobEstimate } from '@blip2/shared/schemas/jobs/job';
import type { JobTask } from '@blip2/shared/schemas/jobs/request';
import type { Dependencies } from '../../dependencies.ts';
import { parseJsonValue } from '../../http/json-body.ts';
import { linesOf } from '../../http/json-lines.ts';
import { sourceFromReference, sourceFromText } from '../../image/image-source.ts';
import { MAX_LINE_BYTES, maxLinesOf } from '../../jobs/read-line.ts';
import type { Slices } from '../../pauses.ts';
import type { RequestContext } from '../../request-context.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';
import { fewAtATime } from '../../turns/few-at-a-time.ts';

type Item = Record<string, unknown>;

/** How many there are, and the first of them, which are looked up. */
export type CountedItems = { items: number; first: readonly Item[] };

/** Items that are looked up: each is a read of KV. */
export const MAX_LOOKED_UP = 100;
/** Requests that a mean is made of at least. */
const MIN_REQUESTS = 20;

/**
 * Counts JSON lines.
 * @param until milliseconds since the epoch
 * @throws ApiError `invalid-request`, `invalid-json` that names the line, `deadline-exceeded`
 */
export async function countLines(
  stream: AsyncIterable<Uint8Array>,
  { config, now }: Pick<Dependencies, 'config' | 'now'>,
  until: number,
  slices?: Slices,
): Promise<CountedItems> {
  const limits = { maxLines: maxLinesOf(config.jobsMaxItems), ...(slices && { slices }) };
  let [items, characters] = [0, 0];
  const first: Item[] = [];
  for await (const lines of linesOf(stream, MAX_LINE_BYTES, limits)) {
    if (now() > until) throw countsTooLong();
    if (items + lines.length > config.jobsMaxItems) throw tooMany(config.jobsMaxItems);
    for (const { text, number } of lines) {
      items++;
      characters += text.length;
      const isFirst = first.length < MAX_LOOKED_UP && characters <= MAX_LINE_BYTES;
      if (isFirst) first.push(parsed(text, number));
    }
  }
  return { items, first };
}

export function countsTooLong(): ApiError {
  const detail =
    'dry_run: the lines were not all counted within the time of a request: create the job, or try fewer.';
  return new ApiError('deadline-exceeded', detail);
}

function tooMany(limit: number): ApiError {
  const detail = `A job has ${limit} items at most: make several of it.`;
  return new ApiError('invalid-request', detail, { limit });
}

function parsed(line: string, number: number): Item {
  const field = `line ${number}`;
  // As strictly as the job would.
  const value = parseJsonValue(line, field);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Item;
  throw new ApiError('invalid-request', `Line ${number} must be an object of JSON.`, { field });
}

export async function estimate(
  deps: Dependencies,
  task: JobTask,
  { items, first }: CountedItems,
  context: RequestContext,
): Promise<JobEstimate> {
  const [load, known] = await Promise.all([
    deps.gpu.load().catch(() => null),
    knownOf(deps, first, context),
  ]);
  const isMeasured = load !== null && load.requests >= MIN_REQUESTS;
  const seconds = isMeasured ? load.seconds / load.requests : null;
  return {
    object: 'job.estimate',
    task,
    items,
    known_images: known.filter((isKnown) => isKnown).length,
    gpu_seconds: seconds === null ? null : rounded(items * seconds),
    waiting: load?.waiting ?? null,
    based_on: {
      images_looked_up: known.length,
      requests: load?.requests ?? null,
      seconds_per_item: seconds === null ? null : rounded(seconds),
    },
  };
}

function rounded(seconds: number): number {
  return Number(seconds.toPrecision(3));
}

/** Of each item that names its image by its bytes or its hash, whether its query embeddings are cached. */
async function knownOf(
  deps: Dependencies,
  items: readonly Item[],
  context: RequestContext,
): Promise<boolean[]> {
  const { cache } = deps.stores.query;
  const instructionIds = embeddingInstruction(deps.models.generate, { kind: 'query' });
  const known = await fewAtATime(items, async ({ image }, _, ended) => {
    const id = await imageIdIn(image);
    if (id === null) return null;
    const embeddingId = await embeddingIdOf(imagePathOf(context.namespace, id), instructionIds);
    const { client = '', signal } = context;
    const isKnown = async () => {
      // Whoever has gone, or has waited for long, needs no number.
      if (signal.aborted || deps.now() > context.deadlineAt) return null;
      return (await cache.lookup(embeddingId, context)).kind !== 'miss';
    };
    return await bulkReads.run(client, isKnown, { signal, ended });
  });
  return known.filter((isKnown) => isKnown !== null);
}

/** @returns null where only fetching a URL would tell, or it is no image */
async function imageIdIn(image: unknown): Promise<string | null> {
  const reference = RequestImage.safeParse(image);
  if (!reference.success) return null;
  try {
    const source =
      typeof reference.data === 'string'
        ? sourceFromText(reference.data, 'image')
        : sourceFromReference(reference.data);
    if (source.kind === 'url') return null;
    return source.kind === 'sha256' ? source.sha256 : await imageIdOf(source.bytes);
  } catch {
    return null;
  }
}
