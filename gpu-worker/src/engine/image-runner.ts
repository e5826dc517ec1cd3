/** Runs one work item on images or texts: image encoder, Q-Former, retrieval model. What fails of one request fails alone. */
import { asStored } from '@blip2/shared/embedding-codec';
import type { ApiError } from '@blip2/shared/errors';
import { route } from '@blip2/shared/route';
import { type MatchScore, TEXTS_AT_ONCE } from '@blip2/shared/wire';
import type { Tensor } from 'onnxruntime-node';
import type { DroppedImages } from './dropped-images.ts';
import { asProblem } from './failure.ts';
import { ImageFeatureCache } from './models/image-feature-cache.ts';
import type { EngineModels } from './models/load-models.ts';
import { itcScore } from './models/retrieval-model.ts';
import type { JobEvent, Pixels, Question } from './protocol.ts';
import type { EngineRequest } from './sequence.ts';
import type { CacheStats } from './stats.ts';

export type ImageEncoder = EngineModels['imageEncoder']['generate'];

/** Ids that the Q-Former reads beside the image, where it reads any. */
export type Instruction = readonly number[] | undefined;

/** One image for all requests that wait for it with the same instruction. */
export type EncodeWork = {
  requests: readonly EngineRequest[];
  pixels: Pixels;
  encoder: ImageEncoder;
  instruction: Instruction;
};

/** Texts of a request, a few of which are compared at a time: with its image, where it has one. */
export type Comparison = {
  request: EngineRequest;
  texts: readonly number[][];
  image?: { features: Tensor; itc: Float32Array };
  scores: MatchScore[];
  embeddings: Float32Array[];
};

/** The result of a work item for one request. */
export type ImageResult = {
  request: EngineRequest;
  events: JobEvent[];
  /** float32 [queries, hidden], of a request that generates from them. */
  queryEmbeddings?: Float32Array;
  /** What there is still to compare. */
  comparison?: Comparison;
  /** Why there is none. */
  failure?: ApiError;
};

type ImageOutput = Omit<ImageResult, 'request'>;

/** What the requests of one image have in common. */
type Shared = {
  features: Tensor;
  queries: () => Promise<Float32Array>;
  itc: () => Promise<Float32Array>;
};

export class ImageRunner {
  readonly #models: Omit<EngineModels, 'decoder'>;
  readonly #features: ImageFeatureCache;

  constructor(models: Omit<EngineModels, 'decoder'>, dropped?: DroppedImages) {
    this.#models = models;
    this.#features = new ImageFeatureCache(models, undefined, dropped);
  }

  /** Drops what is cached of an image. */
  drop(image: string): void {
    this.#features.drop(image);
  }

  get features(): CacheStats {
    return this.#features.stats;
  }

  encoderOf(job: Question): ImageEncoder {
    const { imageEncoder } = this.#models;
    return imageEncoder[route(job)] ?? imageEncoder.generate;
  }

  /** @returns the result for each request, as soon as it is known */
  async *encode({
    requests,
    pixels,
    encoder,
    instruction,
  }: EncodeWork): AsyncGenerator<ImageResult, void, undefined> {
    const start = performance.now();
    for (const { timings, submittedAt } of requests) timings.queue = start - submittedAt;
    let features: Tensor;
    try {
      const origins = requests.map(({ origin }) => origin);
      features = await this.#features.features(encoder, pixels, origins);
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

  /** The next few texts of a job, and its results when they were the last. */
  async compare(comparison: Comparison): Promise<ImageResult> {
    const { request } = comparison;
    return { request, ...(await settled(() => this.#compareSome(comparison))) };
  }

  async #embed(request: EngineRequest, { features, queries, itc }: Shared): Promise<ImageOutput> {
    const { job, timings } = request;
    const begun = performance.now();
    const needsItc = job.kind === 'match' || (job.kind === 'embed' && job.embedding === 'itc');
    const exact = await (needsItc ? itc() : queries());
    timings.qformer = performance.now() - begun;
    if (job.kind === 'match') {
      const image = { features, itc: exact };
      const comparison = { request, texts: job.texts, image, scores: [], embeddings: [] };
      return { events: [], comparison };
    }
    const { generate, retrieve = generate } = this.#models.embeddingTypes;
    const values = asStored(exact, needsItc ? retrieve : generate);
    const embeddings: JobEvent = { type: 'embeddings', values };
    return job.kind === 'generate'
      ? { events: [embeddings], queryEmbeddings: values }
      : { events: [embeddings, { type: 'done', choices: [], timings }] };
  }

  async #compareSome(comparison: Comparison): Promise<ImageOutput> {
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
    if (embeddings.length < texts.length) return { events: [], comparison };
    const result: JobEvent =
      image === undefined ? { type: 'texts', embeddings } : { type: 'scores', scores };
    return { events: [result, { type: 'done', choices: [], timings }] };
  }

  get #retrieval(): Required<EngineModels>['retrieval'] {
    const { retrieval } = this.#models;
    if (retrieval === undefined) throw new Error('no retrieval model is loaded');
    return retrieval;
  }
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
