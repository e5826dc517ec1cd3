/** Receives the frames of a request: what it asks for, and, once it has a place, what it is about. */
import { ApiError } from '@blip2/shared/errors';
import { expectLength, FrameError, type FrameHead, FrameReader } from '@blip2/shared/frames';
import type { GpuRequest } from '@blip2/shared/wire';
import { ROOM_MS } from './body-memory.ts';
import type { Deadline } from './deadline.ts';
import type { Dependencies } from './dependencies.ts';
import {
  expectRequest,
  expectSource,
  parseRequest,
  parseSource,
  type Source,
} from './parse-request.ts';
import { nothingArrived, uploadTooSlow } from './worker-errors.ts';

/** The longest prompt and the most texts, as JSON, twice over. */
const FIRST_FRAME_BYTES = 2 ** 20;
/** The first frame is a few kilobytes that are known before the request is sent. */
const FIRST_FRAME_MS = 10_000;

/** A source arrives at a mebibyte a second at least, after a while for what is on the way already. */
const UPLOAD_START_MS = 10_000;
const UPLOAD_MS_PER_MIB = 1000;

function uploadMs(bytes: number): number {
  return UPLOAD_START_MS + Math.ceil((bytes / 2 ** 20) * UPLOAD_MS_PER_MIB);
}

/** After which no body is still arriving that this worker waits for. */
export function maxBodyMs(maxImageBytes: number): number {
  return FIRST_FRAME_MS + ROOM_MS + uploadMs(maxImageBytes) + UPLOAD_START_MS;
}

type Needed = Pick<Dependencies, 'engine' | 'models' | 'limits' | 'bodyMemory'>;

/** The frames of one body, each read when somebody is ready for it. What was not asked for is not read. */
export class RequestBody implements AsyncDisposable {
  readonly #reader: FrameReader;
  readonly #dependencies: Needed;
  readonly #deadline: Deadline;
  readonly #signal: AbortSignal;

  /** @param signal ends the reading, with its reason */
  constructor(
    body: ReadableStream<Uint8Array> | null,
    dependencies: Needed,
    { deadline, signal }: { deadline: Deadline; signal: AbortSignal },
  ) {
    if (body === null) throw new ApiError('invalid-request', 'The body is empty.');
    const untilAborted = new TransformStream<Uint8Array, Uint8Array>();
    this.#reader = new FrameReader(body.pipeThrough(untilAborted, { signal }));
    this.#dependencies = dependencies;
    this.#deadline = deadline;
    this.#signal = signal;
  }

  /**
   * The first frame. It has a short deadline of its own; from then on that of the request holds, which is in it.
   * @throws ApiError when it is no request, or asks for what this worker cannot do, or comes too slowly
   */
  async request(): Promise<GpuRequest> {
    this.#deadline.start(FIRST_FRAME_MS, () => nothingArrived(FIRST_FRAME_MS));
    const head = await asProblem(() => this.#reader.head());
    expectRequest(head);
    const request = parseRequest(await this.#payload(head, FIRST_FRAME_BYTES), this.#dependencies);
    this.#deadline.start(request.deadline_ms);
    return request;
  }

  /**
   * The source, absent where only texts are embedded, after which the body must end. Its memory is charged before it is
   * read, and is the caller's to give back.
   * @throws ApiError when it is not what the request needs, finds no room, or comes too slowly
   */
  async source(request: GpuRequest): Promise<{ source?: Source; memory: Disposable }> {
    const { models, limits, bodyMemory } = this.#dependencies;
    const head = await asProblem(() => this.#reader.head());
    expectSource(request, head, { models, limits });
    using charged = new DisposableStack();
    if (head === null) return { memory: charged.move() };
    charged.use(await bodyMemory.take(head.length, this.#signal));
    this.#limitUpload(request, head);
    const payload = await this.#payload(head, head.length);
    if (!(await this.#reader.isAtEnd())) {
      throw new ApiError('invalid-request', 'There are more frames than the request needs.');
    }
    this.#deadline.start(request.deadline_ms);
    const source = parseSource(request, head, payload, models);
    return { source, memory: charged.move() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }

  async #payload(head: FrameHead, limit: number): Promise<Uint8Array> {
    return await asProblem(() => {
      expectLength(head, limit);
      return this.#reader.payload();
    });
  }

  #limitUpload({ deadline_ms }: GpuRequest, { length }: FrameHead): void {
    const ms = uploadMs(length);
    const end = this.#deadline.elapsed + ms;
    if (end < deadline_ms) this.#deadline.start(end, () => uploadTooSlow(ms));
  }
}

async function asProblem<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause;
    const detail = `The body is not a list of frames: ${cause.message}.`;
    throw new ApiError('invalid-request', detail, { cause });
  }
}
