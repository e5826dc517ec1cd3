/** Processes that decode images, and the images that wait for them: callers by turns, and no more memory than there is. */
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import type { ImageInfo } from '@blip2/shared/wire';
import type { Caller } from '../engine/protocol.ts';
import { BackgroundShare } from '../engine/scheduling/background-share.ts';
import { FairQueue } from '../engine/scheduling/fair-queue.ts';
import type { ImageLimits } from './decode.ts';
import { type Ends, restartDelayMs } from './decode-backoff.ts';
import { problemOfEnding } from './decode-problems.ts';
import { DecodeProcess, DecoderEnded, type Ending } from './decode-process.ts';
import type { DecodeReply } from './decode-protocol.ts';
import {
  BASE_MEMORY,
  chargeOf,
  isBackground,
  mostMemory,
  nextOf,
  type QueuedImage,
} from './decode-schedule.ts';
import { type ImageSpec, normalize } from './normalize.ts';

export type DecodePoolOptions = {
  limits: Pick<ImageLimits, 'maxBytes' | 'maxPixels'>;
  processes: number;
  /** Processor time that one image may take. */
  timeoutMs: number;
  /** Memory that one image may take, bytes. */
  imageMemory: number;
  /** Memory that all images together may take, bytes. */
  totalMemory: number;
};

/** `pixels`: float32 [3, size, size]. */
export type DecodedImage = { info: ImageInfo; pixels: Float32Array<ArrayBuffer> };

export type DecodeListener = {
  /** A process ended that was to go on. `error` has what it wrote. */
  onEnded: (ending: Ending, error: Error | undefined) => void;
};

/** Estimates hold for images that are what their headers say. Beyond twice the estimate and this, an image is not. */
const SPARE_MEMORY = 128 * 2 ** 20;
/** Nobody waits for its image any more: most are done within this, and another process would take half a second to start. */
const GRACE_MS = 1000;

type Task = QueuedImage & {
  bytes: Uint8Array;
  spec: ImageSpec;
  caller: Caller;
  isRetried: boolean;
  result: PromiseWithResolvers<DecodedImage>;
  isSettled: boolean;
};

/** The place of a process, while it is replaced too. */
type Place = { process: DecodeProcess | undefined; task: Task | undefined; ends: Ends };

const noEnds = (): Ends => ({ crashes: 0, kills: 0 });

/** @example
 * const pool = await DecodePool.start(options);
 * const { info, pixels } = await pool.decode(bytes, manifest.image, { caller, signal });
 */
export class DecodePool {
  readonly #options: DecodePoolOptions;
  readonly #program: URL;
  readonly #places: readonly Place[];
  readonly #queue = new FairQueue();
  /** It rests never: a process that has nothing else to do decodes what nobody waits for. */
  readonly #background = new BackgroundShare(1);
  readonly #listeners: DecodeListener[] = [];
  readonly #stopped = new AbortController();
  #waiting: Task[] = [];
  #maintained: Promise<void>[] = [];

  private constructor(options: DecodePoolOptions, program: URL) {
    this.#options = options;
    this.#program = program;
    const affordable = Math.max(1, Math.floor(options.totalMemory / BASE_MEMORY));
    const count = Math.min(options.processes, affordable);
    this.#places = Array.from({ length: count }, () => ({
      process: undefined,
      task: undefined,
      ends: noEnds(),
    }));
  }

  /**
   * Starts its processes and waits until all are ready.
   * @param program module that they run
   * @throws Error when one does not start
   */
  static async start(
    options: DecodePoolOptions,
    program = new URL('./decoder.ts', import.meta.url),
  ): Promise<DecodePool> {
    const pool = new DecodePool(options, program);
    try {
      await Promise.all(pool.#places.map((place) => pool.#fill(place)));
    } catch (error) {
      await pool.stop();
      throw error;
    }
    pool.#maintained = pool.#places.map((place) => pool.#maintain(place));
    return pool;
  }

  /** Calls the listener from now on. */
  listen(listener: DecodeListener): void {
    this.#listeners.push(listener);
  }

  /** Images that wait for a process or for memory. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Bytes that are set aside for the images that are decoded now. */
  get memory(): number {
    return this.#running.reduce((sum, task) => sum + chargeOf(task), 0);
  }

  get #running(): Task[] {
    return this.#places.flatMap(({ task }) => (task === undefined ? [] : [task]));
  }

  /**
   * Decodes an image into the image encoder's input.
   * @throws ApiError when the image is refused, cannot be decoded, or takes more time or memory than an image may; the signal's reason as soon
   *   as it aborts
   */
  async decode(
    bytes: Uint8Array,
    spec: ImageSpec,
    { caller, signal }: { caller: Caller; signal: AbortSignal },
  ): Promise<DecodedImage> {
    signal.throwIfAborted();
    checkImage(bytes, { maxBytes: this.#options.limits.maxBytes, field: 'image' });
    const task: Task = {
      ...{ bytes, spec, caller, client: caller.client },
      ...{ memory: undefined, isRetried: false, isSettled: false },
      ticket: this.#queue.join(caller, 1),
      result: Promise.withResolvers<DecodedImage>(),
    };
    const abort = () => this.#cancel(task, signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    this.#waiting.push(task);
    this.#dispatch();
    try {
      return await task.result.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Ends all processes, and with an error what they decode. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const { process } of this.#places) process?.kill('retired');
    const error = new ApiError('shutting-down', 'The GPU worker is shutting down.');
    for (const task of this.#waiting.splice(0)) {
      this.#queue.leave(task.client, task.ticket);
      settle(task, ({ reject }) => reject(error));
    }
    await Promise.all(this.#maintained);
  }

  #cancel(task: Task, reason: unknown): void {
    settle(task, ({ reject }) => reject(reason));
    this.#waiting = this.#waiting.filter((other) => other !== task);
    // What its client did not have is no turn of it.
    this.#queue.leave(task.client, task.ticket);
    this.#places.find((place) => place.task === task)?.process?.expire(GRACE_MS, 'canceled');
  }

  async #fill(place: Place): Promise<void> {
    place.process = await DecodeProcess.start(this.#program, this.#stopped.signal);
  }

  /** Replaces the process of a place whenever it ends; later and later while it ends without having decoded anything. */
  async #maintain(place: Place): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const ending = await place.process?.ended;
      place.process = undefined;
      if (signal.aborted) return;
      if (ending !== undefined) this.#note(place, ending, undefined);
      try {
        await delay(restartDelayMs(place.ends), undefined, { signal });
        await this.#fill(place);
      } catch (error) {
        if (signal.aborted) return;
        this.#note(place, endingOf(error), error as Error);
      }
      this.#dispatch();
    }
  }

  #note({ ends }: Place, ending: Ending, error: Error | undefined): void {
    if (ending === 'crash') ends.crashes++;
    if (isInnocent(ending)) ends.kills++;
    for (const { onEnded } of this.#listeners) onEnded(ending, error);
  }

  /** Gives waiting images to processes that have none. */
  #dispatch(): void {
    for (const place of this.#places) {
      const { process } = place;
      if (process === undefined || process.isEnding || place.task !== undefined) continue;
      if (this.#waiting.length > 0 && process.isStopped) {
        process.kill('outside');
        continue;
      }
      const task = nextOf(this.#waiting, this.#running, {
        processes: this.#places.length,
        totalMemory: this.#options.totalMemory,
        isBackgroundOverdue: this.#background.isOverdue,
      });
      if (task === undefined) return;
      this.#waiting.splice(this.#waiting.indexOf(task), 1);
      this.#queue.begin(task.ticket);
      place.task = task;
      this.#run(place, process, task);
    }
  }

  async #run(place: Place, process: DecodeProcess, task: Task): Promise<void> {
    const { limits, processes: _, ...options } = this.#options;
    const { bytes, spec } = task;
    const { size, resample, resize } = spec;
    const allowance = chargeOf(task);
    // More than there is beside the other processes would wait for ever.
    const most = mostMemory(this.#places.length, options.totalMemory);
    const message = {
      bytes,
      spec: { size, resample, ...(resize && { resize }) },
      limits: { ...limits, maxMemory: Math.min(options.imageMemory, most) },
      allowance,
    };
    const bounds = { ms: options.timeoutMs, bytes: 2 * allowance + SPARE_MEMORY };
    const startedAt = performance.now();
    try {
      const reply = await process.run(message, bounds);
      place.ends = noEnds();
      this.#take(task, reply);
    } catch (error) {
      this.#takeEnding(task, error as Error, bounds);
    }
    const ms = performance.now() - startedAt;
    if (isBackground(task)) this.#background.ran(ms);
    else {
      const isHeldUp = this.#waiting.some(isBackground) && !this.#running.some(isBackground);
      this.#background.heldUp(ms, isHeldUp);
    }
    // Where the process has ended, the next one of the place goes on.
    place.task = undefined;
    this.#dispatch();
  }

  #take(task: Task, reply: DecodeReply): void {
    switch (reply.type) {
      case 'heavy':
        if (task.isSettled) return;
        task.memory = reply.memory;
        task.ticket = this.#queue.join(task.caller, Math.ceil(reply.memory / BASE_MEMORY));
        this.#waiting.push(task);
        return;
      case 'done': {
        const { info, rgb } = reply;
        settle(task, ({ resolve }) => resolve({ info, pixels: normalize(rgb, task.spec) }));
        return;
      }
      case 'problem': {
        const { slug, message, extras } = ApiError.fromProblem(reply.problem);
        const error = new ApiError(slug, message, { ...extras, cause: reply.cause });
        settle(task, ({ reject }) => reject(error));
        return;
      }
      case 'failed':
        settle(task, ({ reject }) => reject(new Error(reply.error)));
    }
  }

  #takeEnding(task: Task, error: Error, bounds: { ms: number; bytes: number }): void {
    const ending = endingOf(error);
    if (isInnocent(ending) && !task.isRetried && !task.isSettled) {
      // Whatever it was, it was hardly for this image.
      task.isRetried = true;
      this.#waiting.push(task);
      return;
    }
    const seconds = bounds.ms / 1000;
    const problem = problemOfEnding(ending, { seconds, bytes: bounds.bytes }, error);
    settle(task, ({ reject }) => reject(problem));
  }
}

function settle(task: Task, how: (result: PromiseWithResolvers<DecodedImage>) => void): void {
  if (task.isSettled) return;
  task.isSettled = true;
  how(task.result);
}

function endingOf(error: unknown): Ending {
  return error instanceof DecoderEnded ? error.ending : 'crash';
}

/** Whether neither the program nor its image is likely to be at fault. */
function isInnocent(ending: Ending): boolean {
  return ending === 'outside' || ending === 'stuck';
}
