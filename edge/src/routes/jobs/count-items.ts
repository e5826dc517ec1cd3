/** How many items a dry run has, without creating anything: those of its body, and those that are stored. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { holdBody } from '../../http/held-bodies.ts';
import { readStream } from '../../http/read-stream.ts';
import { streamOf } from '../../http/stream.ts';
import { rangesOf } from '../../jobs/bucket-lines.ts';
import type { JobInput } from '../../jobs/contract.ts';
import { type InputLine, inputLines } from '../../jobs/input-lines.ts';
import { heldChunks } from '../../jobs/object-writer.ts';
import { ReadingTurns } from '../../jobs/reading-turns.ts';
import { settlingBucket } from '../../settling.ts';
import { type AppContext, clientIn } from '../app-context.ts';
import { countingPlaces } from './counting-places.ts';
import { type CountedItems, countLines, countsTooLong } from './estimate.ts';
import { openingTurns } from './opening-turns.ts';
import { bucketOf, ownerOf } from './owner.ts';

/** When a request is over, milliseconds since the epoch. */
const untilOf = (c: AppContext, { config }: Dependencies) => c.get('startedAt') + config.deadlineMs;

/** A line may be as large as an image: it counts as memory as the body of an upload does. */
export async function countBody(c: AppContext, deps: Dependencies): Promise<CountedItems> {
  const { deadlineMs, jobsMaxFileBytes, maxHeldBytes } = deps.config;
  const held = holdBody(maxHeldBytes, {
    client: clientIn(c, deps.config),
    ms: deadlineMs,
    signal: c.req.raw.signal,
    kind: 'upload',
  });
  try {
    const chunks = heldChunks(readStream(c.req.raw, deadlineMs, jobsMaxFileBytes), held);
    return await countLines(await streamOf(chunks), deps, untilOf(c, deps));
  } finally {
    held.close();
  }
}

/** Counts what is stored as a job reads it: in turns of its owner, who has one count at a time. */
export async function countInput(
  c: AppContext,
  deps: Dependencies,
  input: JobInput,
): Promise<CountedItems> {
  const owner = ownerOf(c, deps).id;
  const isOver = () => deps.now() > untilOf(c, deps);
  const place = await countingPlaces.take(owner, isOver);
  const turns = new ReadingTurns(owner, () => place.stay());
  const begunAt = deps.now();
  try {
    const files = bucketOf(deps);
    if (input.kind === 'file') {
      const ranges = rangesOf(files, input.key, (call) => turns.away(call));
      return await countLines(ranges, deps, untilOf(c, deps), turns);
    }
    const { jobImages, config } = deps;
    const images = jobImages && settlingBucket(jobImages, config.deadlineMs);
    const lines = inputLines({ files, images }, { input, owner: '' }, START, turns);
    return { items: await countOf(lines, isOver), first: [] };
  } finally {
    await turns.end();
    place.leave();
    openingTurns.took(owner, deps.now() - begunAt);
  }
}

const START = { offset: 0 };
/** Images of a bucket that are counted: a thousand are a request to it. */
const MAX_COUNTED = 100_000;

/** @throws ApiError `unsupported-parameter` where there are more than are counted, `deadline-exceeded` */
async function countOf(lines: AsyncIterable<InputLine>, isOver: () => boolean): Promise<number> {
  let count = 0;
  for await (const { text } of lines) {
    if (isOver()) throw countsTooLong();
    if (text === '' || ++count <= MAX_COUNTED) continue;
    const limit = MAX_COUNTED;
    const detail = `dry_run: more than ${limit} images have keys that begin so, and no more are counted.`;
    throw new ApiError('unsupported-parameter', detail, { field: 'dry_run', limit });
  }
  return count;
}
