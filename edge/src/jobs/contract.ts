/** What the Worker and the Durable Objects of jobs say to each other: plain values. Times are milliseconds since the epoch. */
import type { Problem } from '@blip2/shared/errors';
import type { Outcome } from '../predictions/contract.ts';

export type JobState =
  | 'validating'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'failed'
  | 'cancelling'
  | 'cancelled'
  | 'expired';

/** States that no other follows. */
export const ENDED: ReadonlySet<JobState> = new Set(['completed', 'failed', 'cancelled', 'expired']);

/** Where the lines of a job come from. */
export type JobInput =
  /** JSON lines in the bucket: a whole request a line (`BatchLine`), or a native item. */
  | { kind: 'file'; key: string; form: 'batch' | 'native' }
  /** Every image of the bucket whose key begins so: each is a native item, and its key its `custom_id`. */
  | { kind: 'prefix'; prefix: string }
  /** The items of another job of the same owner that failed. */
  | { kind: 'failed-of'; job: string };

export type JobOrder = {
  kind: 'job' | 'batch';
  /** Names whose job it is, as a part of keys in the bucket: hexadecimal digits. */
  owner: string;
  /** Who waits for it: fair queues and fair slots go by it. */
  client: string;
  /** Cache namespace of its owner; '' is the shared one. */
  namespace: string;
  input: JobInput;
  /** The endpoint of its items: every line of a batch has to name it; native items are bodies for it. */
  url: string;
  /** Members of each native item that it does not have itself. */
  settings: Record<string, unknown>;
  /** Whether query embeddings that are computed for it are cached. */
  cacheEmbeddings: boolean;
  expiresAt: number;
  metadata: Record<string, string>;
  webhook?: JobWebhook;
  /** Of the deployment, for URLs in replies and webhooks. */
  origin: string;
  /** What its creator adds and reads again with the snapshot: as it is. */
  extra?: Record<string, string | number | boolean | null>;
};

export type JobWebhook = { url: string; secrets: string[]; events: string[] };

/** The form in which every item lies in the bucket once it was read: OpenAI's line of a batch. */
export type BatchLine = {
  custom_id: string;
  method: 'POST';
  url: string;
  body: Record<string, unknown>;
};

export type JobCounts = { total: number; completed: number; failed: number; canceled: number };

/** Why a job failed before anything ran; `line` counts from 1. */
export type LineError = {
  line: number | null;
  code: string;
  message: string;
  param: string | null;
};

/** Most errors that a job lists. */
export const MAX_LINE_ERRORS = 100;

export type JobUsage = { prompt_tokens: number; completion_tokens: number };

export type JobSnapshot = {
  id: string;
  order: Omit<JobOrder, 'webhook'> & { webhook?: Omit<JobWebhook, 'secrets'> };
  state: JobState;
  createdAt: number;
  inProgressAt: number | null;
  finalizingAt: number | null;
  completedAt: number | null;
  failedAt: number | null;
  cancellingAt: number | null;
  cancelledAt: number | null;
  expiredAt: number | null;
  counts: JobCounts;
  parts: number;
  /** Items that ended in a second, lately; null where that is not known. */
  ratePerSecond: number | null;
  errors: LineError[];
  usage: JobUsage | null;
};

/** The object of one job, as it is called from outside. */
export type JobObject = {
  /** @param id of `newJobId` */
  create(id: string, order: JobOrder): Promise<Outcome<JobSnapshot>>;
  /** @returns null where there is no such job */
  snapshot(id: string): Promise<JobSnapshot | null>;
  /** Asks for its end; what has ended stays as it is. */
  cancel(id: string): Promise<JobSnapshot | null>;
  /** Deletes all that is stored of it. @returns whether it had ended, and so was deleted */
  forget(id: string): Promise<boolean>;
};

/** A place in the results: the first line to read. */
export type ResultCursor = { part: number; item: number };

/** One line of results. `status` and `body` are those of the reply, whether it is as it should be or a refusal. */
export type ResultLine = {
  part: number;
  item: number;
  custom_id: string;
  outcome: 'completed' | 'failed' | 'canceled' | 'expired';
  status: number | null;
  body: unknown;
  /** Where there is no reply. */
  error: { code: string; message: string } | null;
  /** Of the image that was read. */
  sha256?: string;
};

export type ResultQuery = {
  from: ResultCursor | null;
  which: 'all' | 'completed' | 'failed';
  /**
   * Whether items that have not ended are passed over. Without it the lines end before the first of them, so that
   * whoever goes on behind the last line misses none.
   */
  overGaps: boolean;
};

/** One entry of what an owner has: a job, a batch or a file. `record` is JSON of whoever put it. */
export type IndexEntry = { kind: 'job' | 'batch' | 'file'; id: string; createdAt: number; record: string };

/** The object of one owner, as it is called from outside. */
export type JobIndexObject = {
  put(entry: IndexEntry): Promise<void>;
  find(kind: IndexEntry['kind'], id: string): Promise<IndexEntry | null>;
  /** A page, the newest first, behind the entry with this id. @returns null where there is no such entry */
  list(
    kind: IndexEntry['kind'],
    after: string | null,
    limit: number,
    order?: 'newest' | 'oldest',
  ): Promise<{ entries: IndexEntry[]; hasMore: boolean } | null>;
  remove(kind: IndexEntry['kind'], id: string): Promise<boolean>;
  count(kind: IndexEntry['kind']): Promise<number>;
};

/**
 * Sends a job's events to its webhook: filled in by `webhooks.ts`. Called by the job's object, which sets its alarm for the
 * time that `deliver` says.
 */
export type Outbox = {
  add(type: string, at: number): void;
  /** Tries what is due. @returns when something is due next; null for never */
  deliver(now: number): Promise<number | null>;
};

/** What an object says of one item, where it is not as it should be. */
export type ItemProblem = Problem;
