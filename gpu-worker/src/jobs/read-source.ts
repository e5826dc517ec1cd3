/** Reads what an item is about: from the bucket by a signed URL, else from the edge. */
import { ApiError } from '@blip2/shared/errors';
import { FrameReader } from '@blip2/shared/frames';
import { imageIdOf } from '@blip2/shared/image-id';
import { SOURCE_FAILURES_HEADER } from '@blip2/shared/jobs/commit';
import type { JobMessage } from '@blip2/shared/jobs/message';
import type { GpuRequest } from '@blip2/shared/wire';
import type { Dependencies } from '../http/dependencies.ts';
import { LinkedSignal } from '../http/linked-signal.ts';
import { expectSource, parseSource, type Source } from '../http/parse-request.ts';
import { type EdgeClient, SOURCE_TIMEOUT_MS } from './edge-client.ts';
import { lengthOf, readLimited, TooLong } from './read-limited.ts';

type Needed = Pick<Dependencies, 'models' | 'limits' | 'bodyMemory'>;

export type Reading = {
  dependencies: Needed;
  edge: EdgeClient;
  signal: AbortSignal;
  /** Waits until there is room where there is none. */
  untilRoom: <T>(take: () => Promise<T>) => Promise<T>;
};

/** `memory`, so many bytes as `charged`, is the caller's to give back. `sha256` is that of an image. `failures`: how often the edge had it not, of all workers that asked. */
export type ReadSource = {
  source?: Source;
  sha256?: string;
  memory: Disposable;
  charged: number;
  failures: number;
};

/** The edge has it not now. */
export class SourceAway extends ApiError {
  readonly failures: number;

  constructor(detail: string, failures: number) {
    super('bad-gateway', detail);
    this.failures = failures;
  }
}

/**
 * Null where the item has ended meanwhile.
 * @throws ApiError when it is not what the request needs, or cannot be had now
 */
export async function readSource(
  message: JobMessage,
  request: GpuRequest,
  reading: Reading,
): Promise<ReadSource | null> {
  const { models } = reading.dependencies;
  const { source } = message;
  if (source === undefined) {
    expectSource(request, null, reading.dependencies);
    return { memory: new DisposableStack(), charged: 0, failures: 0 };
  }
  using signal = new LinkedSignal(reading.signal, AbortSignal.timeout(SOURCE_TIMEOUT_MS));
  const timed = { ...reading, signal: signal.signal };
  const read =
    ('url' in source ? await ofBucket(source.url, request, timed) : null) ??
    (await ofEdge(message, request, timed));
  if (read === null) return null;
  using memory = new DisposableStack();
  memory.use(read.memory);
  const { head, payload, charged, failures = 0 } = read;
  const sha256 = head.type === 'image' ? { sha256: await imageIdOf(payload) } : {};
  const parsed = parseSource(request, head, payload, models);
  return { source: parsed, ...sha256, memory: memory.move(), charged, failures };
}

type Head = Parameters<typeof parseSource>[1];
type Read = {
  head: Head;
  payload: Uint8Array;
  memory: Disposable;
  charged: number;
  failures?: number;
};

/** Null where it does not come: its URL may have expired, and the edge knows what has become of it. */
async function ofBucket(
  url: string,
  request: GpuRequest,
  { dependencies, signal, untilRoom }: Reading,
): Promise<Read | null> {
  const { limits, bodyMemory } = dependencies;
  const limit = limits.maxBytes;
  const response = await fetch(url, { redirect: 'error', signal }).catch(() => null);
  if (response === null) return null;
  using charged = new DisposableStack();
  try {
    if (response.status !== 200) {
      await response.body?.cancel();
      return null;
    }
    const length = lengthOf(response) ?? limit;
    if (length > limit) throw new TooLong(length);
    charged.use(await untilRoom(() => bodyMemory.take(length, signal)));
    const payload = await readLimited(response, length);
    const head: Head = { type: 'image', length: payload.length };
    expectSource(request, head, dependencies);
    return { head, payload, memory: charged.move(), charged: length };
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    if (error instanceof TooLong) {
      expectSource(request, { type: 'image', length: error.bytes }, dependencies);
    }
    if (error instanceof ApiError) throw error;
    return null;
  }
}

/** Null where the item has ended. */
async function ofEdge(
  message: JobMessage,
  request: GpuRequest,
  { dependencies, edge, signal, untilRoom }: Reading,
): Promise<Read | null> {
  const response = await edge.source(message, signal);
  if (response.status === 410) {
    await response.body?.cancel();
    return null;
  }
  const failures = Number(response.headers.get(SOURCE_FAILURES_HEADER)) || 0;
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    const detail = `The edge answers ${response.status} when it is asked for the image.`;
    throw new SourceAway(detail, failures);
  }
  await using reader = new FrameReader(response.body);
  const head = await reader.head();
  expectSource(request, head, dependencies);
  if (head === null) throw new ApiError('bad-gateway', 'The edge sent no image.');
  using charged = new DisposableStack();
  charged.use(await untilRoom(() => dependencies.bodyMemory.take(head.length, signal)));
  const payload = await reader.payload();
  return { head, payload, memory: charged.move(), charged: head.length, failures };
}
