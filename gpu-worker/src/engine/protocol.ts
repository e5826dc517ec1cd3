/** The messages between HTTP thread and engine thread. */
import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { ProblemSlug } from '@blip2/shared/errors';
import type { GeneratedToken } from '@blip2/shared/frames';
import type {
  EmbeddingKind,
  GenerationConfig,
  GpuRequest,
  GpuTimings,
  MatchScore,
} from '@blip2/shared/wire';
import type { SessionOptions } from '../runtime/session-options.ts';
import type { FinishedChoice } from './decoding/strategy.ts';
import type { SerializedError } from './serialize-error.ts';
import type { EngineStats } from './stats.ts';

/** `workerData` of the engine thread. */
export type EngineOptions<Manifest extends GenerativeManifest = GenerativeManifest> =
  SessionOptions & {
    bundle: string;
    manifest: Manifest;
    retrieval?: RetrievalOptions;
    maxSlots: number;
    /** Further slots for requests that would else wait for somebody who has more than a fair share; as many by default. */
    reserveSlots?: number | undefined;
    /** Text positions of a prompt that one pass computes, between two steps of the running sequences. */
    prefillChunkTokens: number;
    /** Memory for the keys and values of images and texts that prompts may begin with again. */
    prefixCacheBytes: number;
    /** Memory that keys and values of all sequences may take, bytes; any where it is left out. */
    kvCacheBytes?: number | undefined;
    /** Share of the time that background work may have while others ask: more than 0, and all of it by default. */
    backgroundShare?: number | undefined;
    /** Whether each action is reported with the jobs that it was for. */
    reportsJobs?: boolean;
  };

/** The retrieval model, where one is served. */
export type RetrievalOptions = { bundle: string; manifest: RetrievalManifest };

/** An image, float32 [3, size, size]. Its `key` begins with its origin's image; jobs with the same one that wait at the same time share one encode. */
export type Pixels = { kind: 'pixels'; key: string; pixels: Float32Array<ArrayBuffer> };

/** Ids with [CLS] and [SEP] that the Q-Former reads beside an image, where the model's reads any. */
type Instruction = number[] | undefined;

export type Job =
  | {
      kind: 'generate';
      /** The image, or its query embeddings, float32 [queries, hidden]. */
      source: Pixels | { kind: 'embeddings'; values: Float32Array };
      inputIds: number[];
      instruction?: Instruction;
      config: GenerationConfig;
    }
  | { kind: 'embed'; source: Pixels; embedding: EmbeddingKind; instruction?: Instruction }
  /** `texts`: ids with [CLS] and [SEP]. */
  | { kind: 'match'; source: Pixels; texts: number[][] }
  | { kind: 'embed-texts'; texts: number[][] };

/** What is asked, without the source that it is asked about. */
export type Question = WithoutSource<Job>;
type WithoutSource<Asked> = Asked extends Job ? Omit<Asked, 'source'> : never;

/** Who submits a job: the client that is waiting its turn, and whether it is background work. */
export type Caller = { client: string; priority: NonNullable<GpuRequest['priority']> };

/**
 * Which image a job is about, within its caller's namespace, and when the job came, milliseconds of the HTTP thread's clock:
 * what is cached for it is dropped with the image.
 */
export type Origin = { image: string; arrivedAt: number };

/** `requestId` names the job's request in logs and errors. */
export type SubmitOptions = { caller: Caller; requestId?: string; origin?: Origin };

export type ToEngine =
  /** A job of somebody who waits is about to come. */
  | { type: 'expect' }
  | { type: 'submit'; id: number; job: Job; options: SubmitOptions }
  | { type: 'cancel'; id: number }
  /** Drops what is cached of an image, also for the jobs that came until `at`. */
  | { type: 'drop-image'; image: string; at: number }
  /** Asks for a `pong` between two actions. */
  | { type: 'ping' }
  | { type: 'close' };

/** The events of one job, in this order; `done` or `failed` is the last. */
export type JobEvent =
  /** Background work is done, now and then while it is: until the first it waits for its turn, or has nothing but its image encoded. */
  | { type: 'advanced' }
  /** Embeddings as they are cached, float32 [queries, width]. */
  | { type: 'embeddings'; values: Float32Array }
  | { type: 'scores'; scores: MatchScore[] }
  /** ITC's unit vector of each text, float32 [itc width]. */
  | { type: 'texts'; embeddings: Float32Array[] }
  | { type: 'tokens'; choice: number; tokens: GeneratedToken[] }
  | { type: 'done'; choices: FinishedChoice[]; timings: GpuTimings }
  | {
      type: 'failed';
      error: SerializedError;
      requestId: string | undefined;
      /** Where the error is a problem that a client may see. */
      slug?: ProblemSlug;
    };

export type FromEngine =
  | { type: 'ready' }
  | { type: 'pong' }
  | { type: 'event'; id: number; event: JobEvent }
  | { type: 'stats'; stats: EngineStats };
