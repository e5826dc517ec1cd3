/** What the engine does beside writing: images to encode and to compare with texts, a bounded piece at a time. */
import { asKept } from '@blip2/shared/embedding-codec';
import type { GpuTimings, MatchScore } from '@blip2/shared/wire';
import type { Tensor } from 'onnxruntime-node';
import type { VisionRunner } from './models/image-encoder.ts';
import { ImageFeatureCache } from './models/image-feature-cache.ts';
import type { EngineParts } from './models/load-models.ts';
import { itcScore, type RetrievalRunner } from './models/retrieval-model.ts';
import type { Job, JobEvent, Pixels } from './protocol.ts';
import { compare, type Place } from './scheduling/fair-queue.ts';
import { serializeError } from './serialize-error.ts';
import type { CacheStats } from './stats.ts';

/** A job on its way. */
export type Entry = {
  id: number;
  requestId: string | undefined;
  job: Job;
  place: Place;
  submittedAt: number;
  timings: GpuTimings;
};

export const inOrder = (a: Entry, b: Entry) => compare(a.place, b.place);

/** Texts compared in one piece: running streams wait for it. */
const TEXTS_AT_ONCE = 4;

type Comparing = Entry & {
  texts: readonly number[][];
  image?: { features: Tensor; itc: Float32Array };
  scores: MatchScore[];
  embeddings: Float32Array[];
};

export type ImageWorkOptions = {
  emit: (id: number, event: JobEvent) => void;
  /** Told when work on a job begins. */
  onBegin: (entry: Entry) => void;
  /** Told when the query embeddings of a job that writes are there, float32 [queries, hidden]. */
  onEmbeddings: (entry: Entry, values: Float32Array) => void;
};

export class ImageWork {
  readonly #parts: EngineParts;
  readonly #options: ImageWorkOptions;
  readonly #features: ImageFeatureCache;
  #toEncode: (Entry & { source: Pixels })[] = [];
  #toCompare: Comparing[] = [];

  constructor(parts: EngineParts, options: ImageWorkOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#features = new ImageFeatureCache(parts.vision);
  }

  /** Pieces of work that wait, roughly. */
  get waiting(): number {
    return this.#toEncode.length + this.#toCompare.length;
  }

  get features(): CacheStats {
    return this.#features.stats;
  }

  submit(entry: Entry): void {
    const { job } = entry;
    if (job.kind === 'embed-texts') {
      this.#awaitComparison({ ...entry, texts: job.texts, scores: [], embeddings: [] });
    } else if (job.source.kind === 'pixels') {
      this.#toEncode.push({ ...entry, source: job.source });
      this.#toEncode.sort(inOrder);
    } else this.#options.onEmbeddings(entry, job.source.values);
  }

  forget(id: number): void {
    this.#toEncode = this.#toEncode.filter((entry) => entry.id !== id);
    this.#toCompare = this.#toCompare.filter((entry) => entry.id !== id);
  }

  /** Encodes one image, or compares a few texts: whichever is first in line. */
  async advance(): Promise<void> {
    const comparing = this.#toCompare[0];
    const first = this.#toEncode[0];
    if (comparing !== undefined && (first === undefined || inOrder(comparing, first) < 0)) {
      this.#options.onBegin(comparing);
      await this.#guard([comparing], () => this.#compare(comparing));
      return;
    }
    if (first === undefined) return;
    // One image for every job that waits for it. Several in one run are no faster than one after another.
    const encoder = this.#encoderOf(first.job);
    const same = this.#toEncode.filter(({ job, source }) => {
      return source.key === first.source.key && this.#encoderOf(job) === encoder;
    });
    this.#toEncode = this.#toEncode.filter((entry) => !same.includes(entry));
    for (const entry of same) this.#options.onBegin(entry);
    await this.#guard(same, () => this.#encode(same, first.source, encoder));
  }

  #awaitComparison(entry: Comparing): void {
    this.#toCompare.push(entry);
    this.#toCompare.sort(inOrder);
  }

  async #encode(entries: readonly Entry[], image: Pixels, encoder: VisionRunner): Promise<void> {
    const start = performance.now();
    for (const entry of entries) entry.timings.queue = start - entry.submittedAt;
    const features = await this.#features.features(encoder, image);
    for (const entry of entries) entry.timings.vision = performance.now() - start;
    const queries = once(() => this.#parts.qformer.query(features));
    const itc = once(() => this.#retrieval.imageEmbeddings(features));
    for (const entry of entries) {
      const { id, job, timings } = entry;
      const begun = performance.now();
      const needsItc = job.kind === 'match' || (job.kind === 'embed' && job.embedding === 'itc');
      const exact = await (needsItc ? itc() : queries());
      timings.qformer = performance.now() - begun;
      if (job.kind === 'match') {
        const image = { features, itc: exact };
        this.#awaitComparison({ ...entry, texts: job.texts, image, scores: [], embeddings: [] });
        continue;
      }
      const { generate, retrieve = generate } = this.#parts.embeddingTypes;
      const values = asKept(exact, needsItc ? retrieve : generate);
      this.#options.emit(id, { type: 'embeddings', values });
      if (job.kind === 'generate') this.#options.onEmbeddings(entry, values);
      else this.#options.emit(id, { type: 'done', choices: [], timings });
    }
  }

  /** The next few texts of a job; tells its results when they were the last. */
  async #compare(entry: Comparing): Promise<void> {
    const { id, texts, image, scores, embeddings, timings } = entry;
    const start = performance.now();
    const some = texts.slice(embeddings.length, embeddings.length + TEXTS_AT_ONCE);
    const vectors = await this.#retrieval.textEmbeddings(some);
    embeddings.push(...vectors);
    if (image !== undefined) {
      const { features, itc } = image;
      const probabilities = await this.#retrieval.matchProbabilities(features, some);
      for (const [i, itm] of probabilities.entries()) {
        scores.push({ itm, itc: itcScore(itc, vectors[i] as Float32Array) });
      }
    }
    timings.match = (timings.match ?? 0) + performance.now() - start;
    if (embeddings.length < texts.length) return;
    this.forget(id);
    const result: JobEvent =
      image === undefined ? { type: 'texts', embeddings } : { type: 'scores', scores };
    this.#options.emit(id, result);
    this.#options.emit(id, { type: 'done', choices: [], timings });
  }

  get #retrieval(): RetrievalRunner {
    const { retrieval } = this.#parts;
    if (retrieval === undefined) throw new Error('no retrieval model is loaded');
    return retrieval;
  }

  #encoderOf(job: Job): VisionRunner {
    const { vision } = this.#parts;
    const writes = job.kind === 'generate' || (job.kind === 'embed' && job.embedding === 'query');
    return writes ? vision.generate : (vision.retrieve ?? vision.generate);
  }

  /** A run that fails takes down the jobs in it, and only those. */
  async #guard(entries: readonly Entry[], run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      for (const { id, requestId } of entries) {
        this.forget(id);
        const failed = { type: 'failed', error: serializeError(error) } as const;
        this.#options.emit(id, requestId === undefined ? failed : { ...failed, requestId });
      }
    }
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
