/** The Durable Object of one owner: which files and jobs there are, how many there may be, and when they are deleted. */
import { DurableObject } from 'cloudflare:workers';
import { ApiError } from '@blip2/shared/errors';
import type { FilePurpose } from '@blip2/shared/schemas/openai/files';
import { logError } from '../log.ts';
import type { Env } from '../platform.ts';
import type { Outcome } from '../predictions/contract.ts';
import { newId, objectIdOf } from '../predictions/ids.ts';
import { ENDED, imageKey, inputKey, type JobObject } from './contract.ts';
import { JobFileTable } from './job-file-table.ts';
import {
  fileKey,
  type IndexPage,
  type JobFile,
  type JobIndexObject,
  type JobKind,
  type JobRoom,
  type ListedJob,
  LONGEST_UPLOAD_MS,
  MAX_FILES,
  MAX_OPEN_JOBS,
  MAX_STORED_BYTES,
  type PageOrder,
} from './job-index-contract.ts';
import { JobListTable } from './job-list-table.ts';
import { JobUploadTable, type PartedUpload } from './job-upload-table.ts';

const RETRY_MS = 60_000;
/** Deleted in one go; the rest has its turn at once. */
const MAX_TOGETHER = 100;
/** Jobs that are asked whether they have ended. */
const ASKED_TOGETHER = 8;
/** From the end of a job's lines to its creation at most. */
const CREATION_MS = 120_000;

type OpenJob = { id: string; createdAt: number };

export class JobIndex extends DurableObject<Env> implements JobIndexObject {
  readonly #files: JobFileTable;
  readonly #jobs: JobListTable;
  readonly #uploads: JobUploadTable;
  #isPrepared: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    this.#files = new JobFileTable(sql);
    this.#jobs = new JobListTable(sql);
    this.#uploads = new JobUploadTable(sql);
    // Nothing is written before there is something to store: whoever guesses at ids leaves nothing behind.
    this.#isPrepared =
      sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'files'").toArray()[0] !== undefined;
    // An object of an earlier version has none.
    if (this.#isPrepared) this.#uploads.create();
  }

  async reserveFile(): Promise<Outcome<{ id: string }>> {
    this.#prepare();
    const { files } = this.#files.total();
    const full = files >= MAX_FILES ? tooManyFiles(files) : noRoom(this.#stored(), 1);
    if (full !== undefined) return { problem: full.toProblem() };
    const id = newId(this.ctx.id);
    this.#files.reserve(id, Date.now());
    await this.#wakeLater();
    return { value: { id } };
  }

  async putFile(
    sent: Omit<JobFile, 'createdAt' | 'expiresAt'>,
    storedMs: number,
  ): Promise<Outcome<JobFile>> {
    this.#prepare();
    const { id, bytes } = sent;
    const full = noRoom(this.#stored(), bytes);
    const createdAt = Date.now();
    const file: JobFile = { ...sent, createdAt, expiresAt: createdAt + storedMs };
    if (full === undefined && this.#files.put(file)) {
      await this.#wakeLater();
      return { value: file };
    }
    await this.deleteFile(id);
    const late = new ApiError('deadline-exceeded', 'The file took more than an hour to come.');
    return { problem: (full ?? late).toProblem() };
  }

  async noteUpload(upload: PartedUpload): Promise<Outcome<null>> {
    this.#prepare();
    const full = noRoom(this.#stored(upload.id), upload.bytes);
    if (full !== undefined) return { problem: full.toProblem() };
    this.#uploads.note(upload, Date.now());
    await this.#wakeLater();
    return { value: null };
  }

  async endUpload(id: string): Promise<void> {
    if (this.#isPrepared) this.#uploads.end(id);
  }

  /** Bytes of files, and of uploads that are under way. @param but an upload that does not count */
  #stored(but?: string): number {
    return this.#files.total().bytes + this.#uploads.bytes(but);
  }

  async findFile(id: string): Promise<JobFile | null> {
    return this.#isPrepared ? this.#files.find(id, Date.now()) : null;
  }

  async listFiles(
    page: PageOrder,
    purpose: FilePurpose | null,
  ): Promise<IndexPage<JobFile> | null> {
    if (this.#isPrepared) return this.#files.list(page, purpose, Date.now());
    return page.after === null ? { entries: [], hasMore: false } : null;
  }

  async deleteFile(id: string): Promise<boolean> {
    if (!this.#isPrepared) return false;
    await this.#bucket().delete(fileKey(id));
    return this.#files.delete(id);
  }

  async addJob(job: ListedJob, room: JobRoom): Promise<Outcome<null>> {
    this.#prepare();
    const refuses = room.beyond === 'refuse';
    if (refuses && this.#jobs.count() >= room.jobs) {
      const detail = `${room.jobs} jobs are stored: delete some that have ended, with purge=true.`;
      return { problem: new ApiError('storage-full', detail, { limit: room.jobs }).toProblem() };
    }
    if (this.#jobs.open().length >= MAX_OPEN_JOBS) await this.#closeEnded();
    const actual = this.#jobs.open().length;
    if (actual >= MAX_OPEN_JOBS) {
      const detail = `${MAX_OPEN_JOBS} jobs have not ended: wait for one of them, or cancel it.`;
      const extras = { limit: MAX_OPEN_JOBS, retry_after: 60 };
      return { problem: new ApiError('storage-full', detail, extras).toProblem() };
    }
    this.#jobs.add(job);
    // The next alarm deletes them: nobody waits for it.
    if (!refuses) this.#jobs.expireOldest(this.#jobs.count() - room.jobs, Date.now());
    await this.#wakeLater();
    return { value: null };
  }

  async hasJob(id: string): Promise<boolean> {
    return this.#isPrepared && this.#jobs.isOpen(id);
  }

  async removeJob(id: string): Promise<void> {
    if (this.#isPrepared) this.#jobs.remove(id);
  }

  async dropJob(id: string): Promise<void> {
    if (!this.#isPrepared) return;
    this.#jobs.postpone(id, Date.now() + RETRY_MS);
    await this.#wakeLater();
  }

  async deleteImage(sha256: string): Promise<void> {
    if (!this.#isPrepared) return;
    const files = this.#files.withBytes(sha256);
    if (files.length > 0) await this.#bucket().delete(files.map(fileKey));
    for (const id of files) this.#files.delete(id);
    const jobs = this.#jobs.all();
    for (let from = 0; from < jobs.length; from += MAX_TOGETHER) {
      const some = jobs.slice(from, from + MAX_TOGETHER);
      await this.#bucket().delete(some.map((job) => imageKey(`${this.ctx.id}`, job, sha256)));
    }
  }

  async listJobs(kind: JobKind, page: PageOrder): Promise<IndexPage<ListedJob> | null> {
    if (this.#isPrepared) return this.#jobs.list(kind, page);
    return page.after === null ? { entries: [], hasMore: false } : null;
  }

  /** Deletes what has expired; an object that has nothing left leaves nothing behind. */
  override async alarm(): Promise<void> {
    if (!this.#isPrepared) return;
    // First: an alarm that fails too often would be the last.
    await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    try {
      const now = Date.now();
      const files = this.#files.expired(now, MAX_TOGETHER);
      if (files.length > 0) await this.#bucket().delete(files.map(fileKey));
      for (const id of files) this.#files.delete(id);
      for (const { id, key } of this.#uploads.expired(now, MAX_TOGETHER)) {
        if (await this.#abort(key, id)) this.#uploads.end(id);
        else this.#uploads.postpone(id, now + RETRY_MS);
      }
      for (const id of this.#jobs.expired(now, MAX_TOGETHER)) {
        if (await this.#forget(id)) this.#jobs.remove(id);
        else this.#jobs.postpone(id, now + RETRY_MS);
      }
      await this.#wakeLater();
    } catch (thrown) {
      logError('expiry of files and jobs', { request_id: `${this.ctx.id}`, cause: String(thrown) });
    }
  }

  async #closeEnded(): Promise<void> {
    const open = this.#jobs.open();
    // One place is needed, and each that is asked is woken.
    for (let from = 0, closed = 0; closed === 0 && from < open.length; from += ASKED_TOGETHER) {
      const some = open.slice(from, from + ASKED_TOGETHER);
      const ended = await Promise.all(some.map((job) => this.#hasEnded(job)));
      const over = some.filter((_, index) => ended[index]);
      for (const { id } of over) this.#jobs.close(id);
      closed = over.length;
    }
  }

  /** Whether a job has ended, or is none: one whose lines are still to come may take as long as an upload. */
  async #hasEnded({ id, createdAt }: OpenJob): Promise<boolean> {
    const snapshot = await this.#job(id)?.snapshot(id);
    if (snapshot) return ENDED.has(snapshot.state);
    return createdAt + LONGEST_UPLOAD_MS + CREATION_MS <= Date.now();
  }

  /** @returns whether nothing is left of it */
  async #forget(id: string): Promise<boolean> {
    const job = this.#job(id);
    // One that has not ended, though its time is over, may have lost its alarm.
    await job?.snapshot(id);
    if (job !== null && !(await job.forget(id))) {
      await job.cancel(id);
      return false;
    }
    // Its creation may have been stopped when its lines were there.
    await this.#bucket().delete(inputKey(`${this.ctx.id}`, id));
    return true;
  }

  /** @returns whether there is no such upload any more */
  async #abort(key: string, id: string): Promise<boolean> {
    try {
      await this.#bucket().resumeMultipartUpload(key, id).abort();
      return true;
    } catch (thrown) {
      const cause = String(thrown);
      // It was completed, or aborted.
      if (/10024|does not exist/.test(cause)) return true;
      logError('abort of an upload', { request_id: `${this.ctx.id}`, cause });
      return false;
    }
  }

  #job(id: string): JobObject | null {
    const { JOBS: jobs } = this.env;
    const named = jobs && objectIdOf(jobs, id);
    return jobs && named ? (jobs.get(named) as unknown as JobObject) : null;
  }

  #bucket(): R2Bucket {
    const { JOB_FILES: bucket } = this.env;
    if (bucket !== undefined) return bucket;
    throw new Error('No bucket is bound as JOB_FILES.');
  }

  #prepare(): void {
    if (this.#isPrepared) return;
    this.#files.create();
    this.#jobs.create();
    this.#uploads.create();
    this.#isPrepared = true;
  }

  async #wakeLater(): Promise<void> {
    const ends = [this.#files, this.#jobs, this.#uploads]
      .map((table) => table.nextEnd())
      .filter((end) => end !== null);
    if (ends.length > 0) {
      await this.ctx.storage.setAlarm(Math.max(Math.min(...ends), Date.now()));
      return;
    }
    this.#isPrepared = false;
    await this.ctx.storage.deleteAll();
  }
}

function tooManyFiles(actual: number): ApiError {
  const detail = `${MAX_FILES} files are stored: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_FILES, actual });
}

function noRoom(stored: number, more: number): ApiError | undefined {
  const actual = stored + more;
  if (actual <= MAX_STORED_BYTES) return undefined;
  const detail = `Files of ${stored} bytes are stored, and at most ${MAX_STORED_BYTES} are: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_STORED_BYTES, actual });
}
