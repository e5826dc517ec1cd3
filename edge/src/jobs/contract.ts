/** What the Worker and the Durable Objects of jobs say to each other: plain values. Times are milliseconds since the epoch. */
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
export const ENDED: ReadonlySet<JobState> = new Set([
  'completed',
  'failed',
  'cancelled',
  'expired',
]);

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

/** @property secrets `whsec_…`, each of which signs: two while one takes the place of the other */
export type JobWebhook = { url: string; secrets: string[]; events: string[] };

/** One try to tell a webhook of an event. */
export type WebhookDelivery = {
  /** Of the event: the same for each try. */
  id: string;
  type: string;
  /** From 1. */
  attempt: number;
  at: number;
  /** Of the reply; null where none came. */
  status: number | null;
  error: string | null;
  /** When it is tried again; null where it is not. */
  nextAt: number | null;
};

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
  /** What was sent to its webhook. */
  deliveries(id: string): Promise<WebhookDelivery[]>;
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

/**
 * Events of a job that are sent to its webhook, in the SQLite of the job's object, whose alarm calls `deliver` when `nextAt`
 * has come.
 */
export type Outbox = {
  create(webhook: JobWebhook | undefined): void;
  /** @param id of the job or batch, as it is shown */
  add(type: string, id: string): void;
  /** Tries what is due. */
  deliver(): Promise<void>;
  /** When the next try is due; null where there is none. */
  nextAt(): number | null;
};
