/** What the Worker and the Durable Objects of jobs say to each other: plain values. Times are milliseconds since the epoch. */
import type { Problem } from '@blip2/shared/errors';
import type { CommitReply, CommitRequest } from '@blip2/shared/jobs/commit';
import type { Sender } from '../limits/limiter.ts';
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
  /** A few native items, in the order itself until they were read: a small job needs no object in the bucket for them. */
  | { kind: 'lines'; text: string }
  /** Every image of the operator's bucket whose key begins so: each is a native item, and its key its id. */
  | { kind: 'prefix'; prefix: string }
  /** The items of another job of the same owner that have no reply as it should be, and it has to have ended. */
  | { kind: 'failed-of'; job: string };

export type JobOrder = {
  kind: 'job' | 'batch';
  /** Names whose job it is, as a part of keys in the bucket: hexadecimal digits. */
  owner: string;
  /** Who waits for it: fair queues and fair slots go by it. */
  client: string;
  /** Whose limits its items count in. */
  sender: Pick<Sender, 'caller' | 'address'>;
  /** Cache namespace of its owner; '' is the shared one. */
  namespace: string;
  input: JobInput;
  /** Whether its lines name images of the operator's bucket, as those of a prefix do, and of what is tried again of one. */
  isOfBucket?: boolean;
  /** Whether its owner is a key or a tenant, where somebody without a key has tried it again: the owner stays the same. */
  isOfKey?: boolean;
  /** The endpoint of its items: every line of a batch has to name it; native items are bodies for it. */
  url: string;
  /** Members of each native item that it does not have itself: they come to it when it is run. */
  settings: Record<string, unknown>;
  /** Whether query embeddings that are computed for it are cached. */
  cacheEmbeddings: boolean;
  expiresAt: number;
  metadata: Record<string, string>;
  webhook?: JobWebhook;
  /** Of the deployment, for URLs in replies and webhooks. */
  origin: string;
  /** Of the request that created it, where somebody records its trace. */
  traceparent?: string;
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

/** What is shown of ids. */
export const ID_PREFIXES = { job: 'job_', batch: 'batch_' } as const;

/** Where the objects of a job are in the bucket: all of them begin so. */
export function jobPrefix(owner: string, job: string): string {
  return `${owner}/jobs/${job}/`;
}

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
  /** Which of its results are not read any more: somebody has deleted the file of them. */
  deleted: ResultState[];
  /** Of all results, as far as parts have said it. Objects of an earlier version do not say it. */
  resultBytes?: number;
};

/** Results of a batch are two files: those of items that were completed, and all others. */
export type ResultState = Exclude<ResultQuery['which'], 'all'>;

/** The object of one job, as it is called from outside. */
export type JobObject = {
  /**
   * @param id of `newJobId`
   * @param sentAt when it was sent: it is refused where it comes so late that its place may be gone
   */
  create(id: string, order: JobOrder, sentAt: number): Promise<Outcome<JobSnapshot>>;
  /** @returns null where there is no such job */
  snapshot(id: string): Promise<JobSnapshot | null>;
  /** Asks for its end; what has ended stays as it is. */
  cancel(id: string): Promise<JobSnapshot | null>;
  /** Deletes all that is stored of it. @returns whether it had ended, and so was deleted */
  forget(id: string): Promise<boolean>;
  /** From now on there is no such job, and soon nothing is left of it. @returns false where it has not ended: then it stays */
  purge(id: string): Promise<boolean>;
  /** Deletes results of a job that has ended: soon all that is stored of its items, once nothing is left to be read. */
  deleteResults(id: string, which: ResultState): Promise<void>;
  /** Where its events are sent, with the secrets. */
  webhook(id: string): Promise<JobWebhook | null>;
  /** What was sent to its webhook. */
  deliveries(id: string): Promise<WebhookDelivery[]>;
};

/** What a part of a job is about. */
export type PartOrder = Pick<
  JobOrder,
  'owner' | 'client' | 'namespace' | 'cacheEmbeddings' | 'expiresAt' | 'traceparent'
> & {
  job: string;
  part: number;
  items: number;
  /** Whether its items are images of the operator's bucket. */
  isOfBucket: boolean;
  /** When its results have so many bytes, nothing more is run. */
  maxResultBytes?: number;
  /** Those of the job; absent where there are none, or every line has a copy, as in an earlier version. */
  settings?: JobOrder['settings'];
};

/** How far a part is. Its counts only grow. */
export type PartReport = {
  part: number;
  completed: number;
  failed: number;
  canceled: number;
  usage: JobUsage;
  /** Seconds that engines spent on it. */
  seconds: number;
  isClosed: boolean;
  /** Parts of an earlier version do not say it. */
  resultBytes?: number;
};

/** What is to become of the parts of a job: `gone` means that there is no such job any more. */
export type PartFate = 'runs' | 'canceled' | 'expired' | 'gone';

/** The object of a job as its parts call it. */
export type ReportingJob = { report(report: PartReport): Promise<PartFate> };

/** What the GPU worker reads for an item. */
export type SourceOfItem =
  /** It has ended. */
  | { kind: 'ended' }
  | { kind: 'url'; url: string; client: string }
  /** Key of an object in the bucket. */
  | { kind: 'stored'; key: string }
  /** Key of an object in the operator's bucket of images. */
  | { kind: 'object'; key: string }
  /** `key`: of the image itself in the bucket, for when they are cached no more. */
  | {
      kind: 'embeddings';
      namespace: string;
      sha256: string;
      instructionIds?: number[];
      key?: string;
    };

/** A piece of the results of a part: lines of JSON as they are stored. */
export type PartPage =
  | { kind: 'closed' }
  /** @property next the item to go on with; null where the lines end here: at the end, or before one that has not ended */
  | { kind: 'lines'; lines: string[]; next: number | null; isWhole: boolean };

/** The object of one part, as it is called from outside. */
export type JobPartObject = {
  /** Begins; again does nothing. */
  start(order: PartOrder): Promise<void>;
  /** Ends what has not ended. */
  end(fate: Exclude<PartFate, 'runs'>): Promise<void>;
  /** @returns null where there is no such part */
  commit(request: CommitRequest): Promise<CommitReply | null>;
  /**
   * A GPU worker is about to run an item alone.
   * @param attempt the same where it asks once more
   * @returns whether it may: not where it has ended, or ends with this
   */
  begin(item: number, attempt?: string): Promise<boolean>;
  /** `failures`: how often it could not be had. Objects of an earlier version do not say it. */
  source(item: number): Promise<SourceOfItem & { failures?: number }>;
  /**
   * Why a source cannot be had.
   * @param mayPass whether another try may have it
   * @param isRefusal whether it is the edge that had no time or memory for it, which ends no item
   * @returns whether the item has ended so; else it is to be asked for again
   */
  sourceFailed(
    item: number,
    problem: Problem,
    mayPass: boolean,
    isRefusal?: boolean,
  ): Promise<boolean>;
  page(from: number, overGaps: boolean): Promise<PartPage>;
  /** @returns null where it was never started */
  report(): Promise<PartReport | null>;
  forget(): Promise<void>;
};

/** Keys of a part in the bucket: its lines, and its results in their order. */
export function partKey(
  { owner, job, part }: Pick<PartOrder, 'owner' | 'job' | 'part'>,
  what: 'in' | 'out',
): string {
  return `${jobPrefix(owner, job)}${what}/${String(part).padStart(5, '0')}.jsonl`;
}

/** Key of the lines that came with the request for a job. */
export function inputKey(owner: string, job: string): string {
  return `${jobPrefix(owner, job)}input.jsonl`;
}

/** Key of an image that was in an item. */
export function imageKey(owner: string, job: string, sha256: string): string {
  return `${jobPrefix(owner, job)}images/${sha256}`;
}

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
  /** All tries, in their order. */
  log(): WebhookDelivery[];
};
