/** What the Worker and the Durable Object of an owner's files and jobs say to each other: plain values. */
import type { FilePurpose } from '@blip2/shared/schemas/openai/files';
import type { Outcome } from '../predictions/contract.ts';
import type { PartedUpload } from './job-upload-table.ts';

/** Files that one owner has at most, and their bytes together. */
export const MAX_FILES = 1000;
export const MAX_STORED_BYTES = 20 * 2 ** 30;
/** Jobs of one owner that have not ended. */
export const MAX_OPEN_JOBS = 64;
/**
 * Jobs of one owner that are stored, whatever their state, and what their results have together when another is added. Beyond
 * that the oldest that have ended are deleted, or none is added.
 */
export type JobRoom = { jobs: number; resultBytes: number; beyond: 'delete' | 'refuse' };
/** Of a key or tenant; of one address of many; and of all callers where they count as one. */
export const ROOM_OF = {
  key: { jobs: 10_000, resultBytes: 2 ** 40, beyond: 'refuse' },
  address: { jobs: 256, resultBytes: 20 * 2 ** 30, beyond: 'delete' },
  all: { jobs: 1000, resultBytes: 100 * 2 ** 30, beyond: 'delete' },
} as const satisfies Record<string, JobRoom>;
/** How long an upload may take, milliseconds: after it its place is gone, and its memory counts as free. */
export const LONGEST_UPLOAD_MS = 3_600_000;
/** A place of what is still to come is gone after so long without a word of its upload, milliseconds: nobody else knows when a client is gone. */
export const SILENT_PLACE_MS = 60_000;
/** How long a job, its lines and its results are stored where nothing else is said, milliseconds. */
export const JOB_STORED_MS = 30 * 86_400_000;

/** A file that was uploaded. All times are milliseconds since the epoch. */
export type JobFile = {
  /** 32 hexadecimal digits at random, and 64 of the owner. */
  id: string;
  name: string;
  bytes: number;
  /** Absent where it was `batch`, of the first version. */
  purpose?: FilePurpose;
  /** Its SHA-256, under which it is deleted as an image; absent where it is too large for one. */
  sha256?: string;
  createdAt: number;
  expiresAt: number;
};

/** What a job has in results, as it says itself. */
export type NotedResults = { bytes: number; hasEnded: boolean };

export type JobKind = 'job' | 'batch';
/** @property deleteAt when it, its lines and its results are deleted */
export type ListedJob = { id: string; kind: JobKind; createdAt: number; deleteAt: number };
/** @property reads the job whose items it runs again, or the file that it reads: these make no room until it has ended */
export type AddedJob = ListedJob & { reads?: string };
/** Between the last that is heard of a job's creation and its deletion, milliseconds: a creation that comes later is refused. */
export const CREATION_MS = 60_000;

/** Which entries of a list come next. */
export type PageOrder = { after: string | null; limit: number; oldestFirst: boolean };
export type IndexPage<Entry> = { entries: Entry[]; hasMore: boolean };

/** The object of one owner, as it is called from outside. */
export type JobIndexObject = {
  /**
   * A place for a file that is about to come, for a minute: its upload says that it comes still.
   * @param beyond where there is no room for another: `delete` takes that of the oldest files, here and below
   */
  reserveFile(beyond?: JobRoom['beyond']): Promise<Outcome<{ id: string }>>;
  /** It comes still. */
  renewFile(id: string): Promise<void>;
  /** The file has come. */
  putFile(
    file: Omit<JobFile, 'createdAt' | 'expiresAt'>,
    storedMs: number,
    beyond?: JobRoom['beyond'],
  ): Promise<Outcome<JobFile>>;
  /**
   * An upload in parts is about to have one more, of a file or of a job's lines: where no other comes, and no end, it is aborted.
   * @returns the problem that there is no room
   */
  noteUpload(upload: PartedUpload, beyond?: JobRoom['beyond']): Promise<Outcome<null>>;
  /** It is complete, or aborted. */
  endUpload(id: string): Promise<void>;
  findFile(id: string): Promise<JobFile | null>;
  /** @param purpose of those that are listed; null for all. @returns null where `after` is no file of this owner */
  listFiles(page: PageOrder, purpose: FilePurpose | null): Promise<IndexPage<JobFile> | null>;
  /** Its bytes too. @returns whether there was one */
  deleteFile(id: string): Promise<boolean>;
  /** A place for a job whose lines are about to come, as of a file. @returns the problem that there are too many that have not ended, or are stored, or that their results are too large */
  addJob(job: AddedJob, room: JobRoom): Promise<Outcome<null>>;
  /** Deletes an image that was in the lines of jobs, of all of them, and files that are this image. */
  deleteImage(sha256: string): Promise<void>;
  /** Its lines come still. */
  renewJob(id: string): Promise<void>;
  /** Its lines are stored, and it is about to be created. @returns whether it has its place still */
  hasJob(id: string): Promise<boolean>;
  /** A job that was not created after all, or of which nothing is left. */
  removeJob(id: string): Promise<void>;
  /** A job of which nobody knows whether it was created: it is canceled, and deleted, soon. */
  dropJob(id: string): Promise<void>;
  /** What the results of a job have now. One that is not there stays away. */
  noteResults(id: string, results: NotedResults): Promise<void>;
  /** @returns null where `after` is no job of this owner */
  listJobs(kind: JobKind, page: PageOrder): Promise<IndexPage<ListedJob> | null>;
};

/** Where the bytes of a file are in the bucket. @param id of the file, which names its owner */
export function fileKey(id: string): string {
  return `${id.slice(-64)}/files/${id}`;
}
