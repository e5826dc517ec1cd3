/** Runs an item of a job as a request of the background, in this process. */
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import { decodeJson, FRAME_HEADER_BYTES, FRAME_TYPES } from '@blip2/shared/frames';
import type { ItemOutcome } from '@blip2/shared/jobs/commit';
import type { JobMessage } from '@blip2/shared/jobs/message';
import { GpuDone, type GpuRequest } from '@blip2/shared/wire';
import type { RequestTrace } from '../engine/request-trace.ts';
import { Deadline } from '../http/deadline.ts';
import type { Dependencies } from '../http/dependencies.ts';
import { callerOf, handleRequest } from '../http/handle-request.ts';
import { LinkedSignal } from '../http/linked-signal.ts';
import { checkRequest } from '../http/parse-request.ts';
import { untilAborted } from '../http/until-aborted.ts';
import type { EdgeClient } from './edge-client.ts';
import { type Item, nameOf } from './message.ts';
import { type ReadSource, readSource } from './read-source.ts';

/**
 * An item that only waits has not failed: whoever asks goes first, for hours where many do, and each message that goes back is one receive
 * of the few that it has. So it ends when nothing has been done for it for so long, once its work has begun; and its waiting before
 * SQS would give the message to others, which it does 12 hours after it was received, however often it is extended.
 */
const DEADLINE_MS = 900_000;
const LONGEST_MS = 11 * 3_600_000;
/** Problems of this worker, or of now, though their status says that the request is to blame. */
const PASSING: readonly ApiError['slug'][] = ['model-mismatch', 'no-retrieval-model'];
/** A message that came so often waits where others go back: it would not come many times more. */
const LAST_RECEIVES = 8;
const NO_PLACE: readonly ApiError['slug'][] = ['overloaded', 'too-many-requests'];

/** `over`: nobody wants a result any more. `again`: it failed in a way that may pass. */
export type Ran =
  | { kind: 'result'; outcome: ItemOutcome; seconds: number }
  | { kind: 'over' }
  | { kind: 'again'; problem: ApiError };

export type Running = {
  dependencies: Pick<
    Dependencies,
    'engine' | 'decoder' | 'models' | 'limits' | 'bodyMemory' | 'state' | 'traces'
  >;
  edge: EdgeClient;
  /** Between two looks for a place. */
  placeMs: number;
  /** Aborts with the problem that the item then has. */
  signal: AbortSignal;
  /** Of an item that may have ended workers; null for others. */
  suspicion: Suspicion | null;
};

export type Suspicion = {
  /** @param failures how often the edge had no source of it: it came back for that */
  remains: (failures: number) => boolean;
  /** What it waits for that is to run alone. */
  turn: () => Promise<void>;
};

/** Never rejects. */
export async function runItem({ message, received }: Item, running: Running): Promise<Ran> {
  const left = message.expires_at - Date.now();
  if (left <= 0) return { kind: 'over' };
  using deadline = new Deadline();
  const longest = Math.min(LONGEST_MS, left);
  deadline.start(longest);
  const onAdvanced = () => deadline.start(Math.min(longest, deadline.elapsed + DEADLINE_MS));
  const { crashed } = running.dependencies.state;
  using linked = new LinkedSignal(running.signal, crashed, deadline.signal);
  const trace = running.dependencies.traces.begin({
    name: 'job item',
    kind: 'consumer',
    traceparent: undefined,
    cause: received.traceparent,
    startedAt: performance.now(),
    attributes: { 'blip2.request_id': nameOf(message), 'blip2.kind': message.task.kind },
  });
  try {
    const signals = { signal: linked.signal, onAdvanced };
    const ran = await run({ message, received }, { ...running, ...signals }, trace);
    trace.end({ 'blip2.outcome': ran.kind === 'result' ? 'done' : ran.kind });
    return ran;
  } catch (thrown) {
    // A connection that breaks off with the signal says so in its own words.
    const problem = ApiError.from(linked.signal.aborted ? linked.signal.reason : thrown);
    trace.end({ 'blip2.outcome': problem.slug }, problem.slug === 'internal-error');
    if (isPassing(problem)) return { kind: 'again', problem };
    const outcome = { kind: 'failed' as const, problem: problem.toProblem() };
    return { kind: 'result', outcome, seconds: 0 };
  }
}

async function run(
  { message, received: { receives } }: Item,
  running: Running & { onAdvanced: () => void },
  trace: RequestTrace,
): Promise<Ran> {
  const { dependencies, edge, placeMs, signal, suspicion, onAdvanced } = running;
  const request = requestOf(message);
  checkRequest(request, dependencies);
  const untilRoom = <T>(take: () => Promise<T>) => untilPlace(take, placeMs, signal);
  const reading = { dependencies, edge, signal, untilRoom };
  using held = new DisposableStack();
  let read: ReadSource | null = null;
  let isAlone = false;
  if (suspicion !== null) {
    // Before its turn: nothing is to run alone only to wait for an image that comes slowly, or not.
    read = await readSource(message, request, reading);
    if (read === null) return { kind: 'over' };
    held.use(read.memory);
    isAlone = suspicion.remains(read.failures);
    const { bodyMemory, limits } = dependencies;
    const retained = bodyMemory.retain(read.charged, limits.maxBytes);
    // Others are to be done first, and find no room while it has theirs.
    if (retained === null) {
      // Nothing runs while it is read in its turn: only what has no room though nobody else holds any is.
      if (isAlone && bodyMemory.retained > 0 && receives < LAST_RECEIVES) throw noRoom();
      read.memory[Symbol.dispose]();
      read = null;
    } else held.use(retained);
    if (isAlone) await untilAborted(suspicion.turn(), signal);
  }
  using _admitted = await untilRoom(async () => dependencies.engine.admit(callerOf(request)));
  read ??= await readSource(message, request, reading);
  if (read === null) return { kind: 'over' };
  using memory = read.memory;
  // Known to the edge before anything runs: a process that is killed can say nothing of it.
  if (isAlone && !(await edge.begin(message, signal))) return { kind: 'over' };
  const { source, sha256 } = read;
  // It loses its source once that is read, so that nothing here may hold it.
  delete read.source;
  const received = { request, ...(source !== undefined && { source }) };
  const frames: Uint8Array[] = [];
  for await (const frame of handleRequest(received, dependencies, {
    requestId: request.request_id,
    trace,
    arrivedAt: performance.now(),
    signal,
    onAdvanced,
    onSourceRead: () => {
      held[Symbol.dispose]();
      memory[Symbol.dispose]();
    },
  })) {
    const isWanted = frame[0] !== FRAME_TYPES.embeddings || message.wants_embeddings === true;
    if (isWanted) frames.push(frame);
  }
  const outcome: ItemOutcome = {
    kind: 'frames',
    frames: Buffer.concat(frames).toString('base64'),
    ...(sha256 !== undefined && { sha256 }),
  };
  return { kind: 'result', outcome, seconds: secondsOf(frames.at(-1)) };
}

function noRoom(): ApiError {
  const detail = 'Other items that are to run alone hold all memory for what they are about.';
  return new ApiError('overloaded', detail);
}

function requestOf(message: JobMessage): GpuRequest {
  const { revision, preprocessing, client, namespace, task } = message;
  return {
    request_id: nameOf(message),
    revision,
    ...(preprocessing !== undefined && { preprocessing }),
    deadline_ms: DEADLINE_MS,
    client,
    priority: 'background',
    ...(namespace !== undefined && { namespace }),
    ...task,
  };
}

/** Of the parts that the engine computed, as the last frame says. */
function secondsOf(done: Uint8Array | undefined): number {
  if (done === undefined) return 0;
  const { timings_ms } = GpuDone.parse(decodeJson(done.subarray(FRAME_HEADER_BYTES)));
  const { queue: _waited, decode_image: _decoded, ...computed } = timings_ms;
  return Object.values(computed).reduce<number>((sum, ms = 0) => sum + ms, 0) / 1000;
}

/** Requests come first: an item waits here, as giving it back would count as a failed try. */
export async function untilPlace<T>(
  take: () => Promise<T>,
  placeMs: number,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await take();
    } catch (error) {
      if (!(error instanceof ApiError) || !NO_PLACE.includes(error.slug)) throw error;
    }
    await pause(placeMs, undefined, { signal });
  }
}

function isPassing({ slug, status }: ApiError): boolean {
  return status >= 500 || [408, 429].includes(status) || PASSING.includes(slug);
}
