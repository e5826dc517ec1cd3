/** The queue of work on images: encoding them and comparing them with texts, one bounded work item at a time. */
import type { DroppedImages } from './dropped-images.ts';
import {
  type Comparison,
  type EncodeWork,
  type ImageResult,
  ImageRunner,
  type Instruction,
} from './image-runner.ts';
import type { EngineModels } from './models/load-models.ts';
import type { Caller, Pixels, Question } from './protocol.ts';
import { compareTickets } from './scheduling/fair-queue.ts';
import type { EngineRequest } from './sequence.ts';
import type { CacheStats } from './stats.ts';

type EncodeTask = { request: EngineRequest; pixels: Pixels };
type CompareTask = { request: EngineRequest; comparison: Comparison };

type Priority = Caller['priority'];

/** Whether what a client waits for may run now. */
type MayRun = (client: string) => boolean;
const anybody: MayRun = () => true;

/** A work item, with all requests that it serves. */
export type ImageWork = { readonly requests: readonly EngineRequest[] } & (
  | ({ kind: 'encode' } & EncodeWork)
  | { kind: 'compare'; task: CompareTask }
);

/**
 * Requests that wait for work on images or texts, in the order in which they are served.
 * @example
 * const work = queue.next();
 * for await (const { request, events } of queue.run(work)) emit(request, events);
 */
export class ImageQueue {
  readonly #runner: ImageRunner;
  readonly #goOn: (request: EngineRequest) => void;
  #toEncode: EncodeTask[] = [];
  #toCompare: CompareTask[] = [];

  /** @param goOn gives a request that needs more work another place in line: each few texts are a turn of their own */
  constructor(
    models: Omit<EngineModels, 'decoder'>,
    goOn: (request: EngineRequest) => void = () => {},
    dropped?: DroppedImages,
  ) {
    this.#runner = new ImageRunner(models, dropped);
    this.#goOn = goOn;
  }

  /** Drops what is cached of an image. */
  drop(image: string): void {
    this.#runner.drop(image);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#toEncode.length + this.#toCompare.length;
  }

  /**
   * Whether there is anything to do of a priority.
   * @param mayRun whether what a client waits for may run now; background work waits for nothing
   */
  hasNext(priority: Priority, mayRun: MayRun = anybody): boolean {
    return this.#firstTask(mayRun, priority) !== null;
  }

  get features(): CacheStats {
    return this.#runner.features;
  }

  /**
   * @param pixels the image that it is about
   * @throws Error when the request needs no work of this queue
   */
  submit(request: EngineRequest, pixels: Pixels | undefined): void {
    const { job } = request;
    if (job.kind === 'embed-texts') {
      this.#enqueueComparison({ request, texts: job.texts, scores: [], embeddings: [] });
      return;
    }
    if (pixels === undefined) throw new Error('there is no image to encode');
    this.#toEncode.push({ request, pixels });
  }

  /** Removes a request, wherever it waits. @returns it, where it waited */
  remove(id: number): EngineRequest | undefined {
    const waiting = [...this.#toEncode, ...this.#toCompare].find(
      ({ request }) => request.id === id,
    );
    this.#toEncode = this.#toEncode.filter(({ request }) => request.id !== id);
    this.#toCompare = this.#toCompare.filter(({ request }) => request.id !== id);
    return waiting?.request;
  }

  /**
   * The next work item: one image, which is dequeued, or a few texts of a job.
   * @param priority any where it is left out: then that of the background is the last
   */
  next(mayRun: MayRun = anybody, priority?: Priority): ImageWork | null {
    const first = this.#firstTask(mayRun, priority);
    if (first === null) return null;
    if ('comparison' in first) {
      return { kind: 'compare', requests: [first.request], task: first };
    }
    const { pixels } = first;
    // One image for every job that waits for it. Several in one run are no faster than one after another.
    const encoder = this.#runner.encoderOf(first.request.job);
    // Other instructions for it are work items of their own, which find its features.
    const instruction = instructionOf(first.request.job);
    const same = this.#toEncode.filter(({ request: { job }, pixels: { key } }) => {
      return (
        key === pixels.key &&
        this.#runner.encoderOf(job) === encoder &&
        String(instructionOf(job)) === String(instruction)
      );
    });
    this.#toEncode = this.#toEncode.filter((entry) => !same.includes(entry));
    const requests = same.map(({ request }) => request);
    return { kind: 'encode', requests, pixels, encoder, instruction };
  }

  /**
   * Runs a work item.
   * @returns the result for each request, as soon as it is known: without events where the request waits for more work, and of
   *   one that has failed why. The caller removes that one.
   */
  async *run(work: ImageWork): AsyncGenerator<ImageResult, void, undefined> {
    if (work.kind === 'encode') {
      for await (const result of this.#runner.encode(work)) {
        const { comparison, request } = result;
        if (comparison !== undefined) {
          this.#goOn(request);
          this.#enqueueComparison(comparison);
        }
        yield result;
      }
      return;
    }
    const { request, comparison } = work.task;
    const result = await this.#runner.compare(comparison);
    this.remove(request.id);
    if (result.comparison !== undefined) {
      this.#goOn(request);
      this.#enqueueComparison(comparison);
    }
    yield result;
  }

  #firstTask(mayRun: MayRun, priority?: Priority): EncodeTask | CompareTask | null {
    const [toEncode, toCompare] = [this.#toEncode, this.#toCompare];
    // Anew, as a ticket may have come to be later.
    toEncode.sort(byTurn);
    toCompare.sort(byTurn);
    const isNext = ({ request: { ticket, client } }: EncodeTask | CompareTask) =>
      ticket.rank > 0 ? priority !== 'interactive' : priority !== 'background' && mayRun(client);
    const [image, texts] = [toEncode.find(isNext), toCompare.find(isNext)];
    if (image === undefined || texts === undefined) return image ?? texts ?? null;
    return byTurn(texts, image) < 0 ? texts : image;
  }

  #enqueueComparison(comparison: Comparison): void {
    this.#toCompare.push({ request: comparison.request, comparison });
  }
}

type Task = { request: EngineRequest };
const byTurn = (a: Task, b: Task) => compareTickets(a.request.ticket, b.request.ticket);

function instructionOf(job: Question): Instruction {
  return job.kind === 'generate' || job.kind === 'embed' ? job.instruction : undefined;
}
