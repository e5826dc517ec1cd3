/** The queue of work on images: encoding them and comparing them with texts, one bounded work item at a time. */
import { asStored } from '@blip2/shared/embedding-codec';
import type { ApiError } from '@blip2/shared/errors';
import { route } from '@blip2/shared/route';
import type { MatchScore } from '@blip2/shared/wire';
import type { Tensor } from 'onnxruntime-node';
import { asProblem } from './failure.ts';
import { ImageFeatureCache } from './models/image-feature-cache.ts';
import type { EngineModels } from './models/load-models.ts';
import { itcScore } from './models/retrieval-model.ts';
import type { Job, JobEvent, Pixels } from './protocol.ts';
import { compareTickets } from './scheduling/fair-queue.ts';
import type { EngineRequest } from './sequence.ts';
import type { CacheStats } from './stats.ts';

type ImageEncoder = EngineModels['imageEncoder']['generate'];

/** Texts of one work item: running streams wait for it. */
const TEXTS_AT_ONCE = 4;

/** Ids that the Q-Former reads beside the image, where it reads any. */
type Instruction = readonly number[] | undefined;

type EncodeTask = { request: EngineRequest; pixels: Pixels };

type Comparison = {
  request: EngineRequest;
  texts: readonly number[][];
  image?: { features: Tensor; itc: Float32Array };
  scores: MatchScore[];
  embeddings: Float32Array[];
};

type ImageOutput = Omit<ImageResult, 'request'>;

/** A work item, with all requests that it serves. */
export type ImageWork = { readonly requests: readonly EngineRequest[] } & (
  | { kind: 'encode'; pixels: Pixels; encoder: ImageEncoder; instruction: Instruction }
  | { kind: 'compare'; comparison: Comparison }
);

/** The result of a work item for one request. */
export type ImageResult = {
  request: EngineRequest;
  events: JobEvent[];
  /** float32 [queries, hidden], of a request that generates from them. */
  queryEmbeddings?: Float32Array;
  /** Why there is none. */
  failure?: ApiError;
};

/** What the requests of one image have in common. */
type Shared = {
  features: Tensor;
  queries: () => Promise<Float32Array>;
  itc: () => Promise<Float32Array>;
};

/**
 * Requests that wait for work on images or texts, in the order in which they are served.
 * @example
 * const work = queue.next();
 * for await (const { request, events } of queue.run(work)) emit(request, events);
 */
export class ImageQueue {
  readonly #models: Omit<EngineModels, 'decoder'>;
  readonly #features: ImageFeatureCache;
  #toEncode: EncodeTask[] = [];
  #toCompare: Comparison[] = [];

  constructor(models: Omit<EngineModels, 'decoder'>) {
    this.#models = models;
    this.#features = new ImageFeatureCache(models);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#toEncode.length + this.#toCompare.length;
  }

  get features(): CacheStats {
    return this.#features.stats;
  }

  /** @throws Error when the request needs no work of this queue */
  submit(request: EngineRequest): void {
    const { job } = request;
    if (job.kind === 'embed-texts') {
      this.#enqueueComparison({ request, texts: job.texts, scores: [], embeddings: [] });
      return;
    }
    if (job.source.kind !== 'pixels') throw new Error('there is no image to encode');
    this.#toEncode.push({ request, pixels: job.source });
    this.#toEncode.sort(byTicket);
  }

  /** Removes a request, wherever it waits. */
  remove(id: number): void {
    this.#toEncode = this.#toEncode.filter(({ request }) => request.id !== id);
    this.#toCompare = this.#toCompare.filter(({ request }) => request.id !== id);
  }

  /** Dequeues the next work item: one image, or a few texts of a job. */
  next(): ImageWork | null {
    const [comparison] = this.#toCompare;
    const [first] = this.#toEncode;
    if (comparison !== undefined && (first === undefined || byTicket(comparison, first) < 0)) {
      return { kind: 'compare', requests: [comparison.request], comparison };
    }
    if (first === undefined) return null;
    const { pixels } = first;
    // One image for every job that waits for it. Several in one run are no faster than one after another.
    const encoder = this.#encoderOf(first.request.job);
    // Other instructions for it are work items of their own, which find its features.
    const instruction = instructionOf(first.request.job);
    const same = this.#toEncode.filter(({ request: { job }, pixels: { key } }) => {
      return (
        key === pixels.key &&
        this.#encoderOf(job) === encoder &&
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
      yield* this.#encode(work);
      return;
    }
    const { request } = work.comparison;
    const output = await settled(() => this.#compare(work.comparison));
    yield { request, ...output };
  }

  #enqueueComparison(entry: Comparison): void {
    this.#toCompare.push(entry);
    this.#toCompare.sort(byTicket);
  }

  async *#encode({
    requests,
    pixels,
    encoder,
    instruction,
  }: Extract<ImageWork, { kind: 'encode' }>): AsyncGenerator<ImageResult, void, undefined> {
    const start = performance.now();
    for (const { timings, submittedAt } of requests) timings.queue = start - submittedAt;
    let features: Tensor;
    try {
      features = await this.#features.features(encoder, pixels);
    } catch (thrown) {
      for (const request of requests) yield { request, events: [], failure: asProblem(thrown) };
      return;
    }
    for (const { timings } of requests) timings.vision = performance.now() - start;
    const queries = once(() => this.#models.qformer.query(features, instruction));
    const itc = once(() => this.#retrieval.imageEmbeddings(features));
    for (const request of requests) {
      // What is computed once for several requests fails for those alone that need it.
      const output = await settled(() => this.#embed(request, { features, queries, itc }));
      yield { request, ...output };
    }
  }

  async #embed(request: EngineRequest, { features, queries, itc }: Shared): Promise<ImageOutput> {
    const { job, timings } = request;
    const begun = performance.now();
    const needsItc = job.kind === 'match' || (job.kind === 'embed' && job.embedding === 'itc');
    const exact = await (needsItc ? itc() : queries());
    timings.qformer = performance.now() - begun;
    if (job.kind === 'match') {
      const image = { features, itc: exact };
      this.#enqueueComparison({ request, texts: job.texts, image, scores: [], embeddings: [] });
      return { events: [] };
    }
    const { generate, retrieve = generate } = this.#models.embeddingTypes;
    const values = asStored(exact, needsItc ? retrieve : generate);
    const embeddings: JobEvent = { type: 'embeddings', values };
    return job.kind === 'generate'
      ? { events: [embeddings], queryEmbeddings: values }
      : { events: [embeddings, { type: 'done', choices: [], timings }] };
  }

  /** The next few texts of a job, and its results when they were the last. */
  async #compare(comparison: Comparison): Promise<ImageOutput> {
    const { request, texts, image, scores, embeddings } = comparison;
    const { timings } = request;
    const start = performance.now();
    const batch = texts.slice(embeddings.length, embeddings.length + TEXTS_AT_ONCE);
    const vectors = await this.#retrieval.textEmbeddings(batch);
    embeddings.push(...vectors);
    if (image !== undefined) {
      const { features, itc } = image;
      const probabilities = await this.#retrieval.matchProbabilities(features, batch);
      for (const [i, itm] of probabilities.entries()) {
        scores.push({ itm, itc: itcScore(itc, vectors[i] as Float32Array) });
      }
    }
    timings.match = (timings.match ?? 0) + performance.now() - start;
    if (embeddings.length < texts.length) return { events: [] };
    this.remove(request.id);
    const result: JobEvent =
      image === undefined ? { type: 'texts', embeddings } : { type: 'scores', scores };
    return { events: [result, { type: 'done', choices: [], timings }] };
  }

  get #retrieval(): Required<EngineModels>['retrieval'] {
    const { retrieval } = this.#models;
    if (retrieval === undefined) throw new Error('no retrieval model is loaded');
    return retrieval;
  }

  #encoderOf(job: Job): ImageEncoder {
    const { imageEncoder } = this.#models;
    return imageEncoder[route(job)] ?? imageEncoder.generate;
  }
}

const byTicket = (a: EncodeTask | Comparison, b: EncodeTask | Comparison) =>
  compareTickets(a.request.ticket, b.request.ticket);

function instructionOf(job: Job): Instruction {
  return job.kind === 'generate' || job.kind === 'embed' ? job.instruction : undefined;
}

/** The output of one request's work, or why it has failed. */
async function settled(work: () => Promise<ImageOutput>): Promise<ImageOutput> {
  try {
    return await work();
  } catch (thrown) {
    return { events: [], failure: asProblem(thrown) };
  }
}

/** Computes at most once, and only when asked. */
function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= compute();
    return result;
  };
}
