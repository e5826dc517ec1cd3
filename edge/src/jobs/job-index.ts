/** The Durable Object of one owner: which files and jobs there are, how many there may be, and when they are deleted. */
import { DurableObject } from 'cloudflare:workers';
import type { ApiError } from '@blip2/shared/errors';
import type { FilePurpose } from '@blip2/shared/schemas/openai/files';
import { logError } from '../log.ts';
import type { Env } from '../platform.ts';
import type { Outcome } from '../predictions/contract.ts';
import { newId } from '../predictions/ids.ts';
import { imageKey } from './contract.ts';
import {
  abortUpload,
  closeEnded,
  deletePlaces,
  forgetJob,
  MAX_TOGETHER,
  RETRY_MS,
} from './index-deletion.ts';
import { expireBeyond, noRoomForFiles, noRoomForJob, placeGone } from './index-room.ts';
import { JobFileTable } from './job-file-table.ts';
import {
  type AddedJob,
  CREATION_MS,
  fileKey,
  type IndexPage,
  type JobFile,
  type JobIndexObject,
  type JobKind,
  type JobRoom,
  type ListedJob,
  MAX_OPEN_JOBS,
  type NotedResults,
  type PageOrder,
} from './job-index-contract.ts';
import { JobListTable } from './job-list-table.ts';
import { JobUploadTable, type PartedUpload } from './job-upload-table.ts';

type Beyond = JobRoom['beyond'];

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
    if (!this.#isPrepared) return;
    // An object of an earlier version has none, or no results.
    this.#uploads.create();
    this.#jobs.create();
  }

  async reserveFile(beyond: Beyond = 'refuse'): Promise<Outcome<{ id: string }>> {
    this.#prepare();
    const full = this.#noRoom({ files: 1, bytes: 1, beyond });
    if (full !== undefined) return { problem: full.toProblem() };
    const id = newId(this.ctx.id);
    this.#files.reserve(id, Date.now());
    await this.#wakeLater();
    return { value: { id } };
  }

  async renewFile(id: string): Promise<void> {
    if (this.#isPrepared) this.#files.renew(id, Date.now());
  }

  async putFile(
    sent: Omit<JobFile, 'createdAt' | 'expiresAt'>,
    storedMs: number,
    beyond: Beyond = 'refuse',
  ): Promise<Outcome<JobFile>> {
    this.#prepare();
    const { id, bytes } = sent;
    const full = this.#noRoom({ files: 0, bytes, beyond });
    const createdAt = Date.now();
    const file: JobFile = { ...sent, createdAt, expiresAt: createdAt + storedMs };
    if (full === undefined && this.#files.put(file, createdAt)) {
      await this.#wakeLater();
      return { value: file };
    }
    await this.deleteFile(id);
    return { problem: (full ?? placeGone()).toProblem() };
  }

  async noteUpload(upload: PartedUpload, beyond: Beyond = 'refuse'): Promise<Outcome<null>> {
    this.#prepare();
    const full = this.#noRoom({ files: 0, bytes: upload.bytes, but: upload.id, beyond });
    if (full !== undefined) return { problem: full.toProblem() };
    this.#uploads.note(upload, Date.now());
    await this.#wakeLater();
    return { value: null };
  }

  async endUpload(id: string): Promise<void> {
    if (this.#isPrepared) this.#uploads.end(id);
  }

  #noRoom(more: Parameters<typeof noRoomForFiles>[1]): ApiError | undefined {
    return noRoomForFiles({ files: this.#files, uploads: this.#uploads }, more, Date.now());
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

  async addJob(job: AddedJob, room: JobRoom): Promise<Outcome<null>> {
    this.#prepare();
    const now = Date.now();
    const isTaken = () =>
      this.#jobs.openCount(now) >= MAX_OPEN_JOBS ||
      this.#jobs.resultBytes(now, 'open') >= room.resultBytes;
    if (isTaken()) await closeEnded(this.#jobs, this.env.JOBS, isTaken);
    // Nobody can delete a batch: those that failed, or whose files were deleted, make room.
    if (room.beyond === 'refuse') {
      this.#jobs.expireEmptyBatches(this.#jobs.live(now) + 1 - room.jobs, now);
    }
    const full = noRoomForJob(this.#jobs, room, now);
    if (full !== undefined) return { problem: full.toProblem() };
    this.#jobs.add(job, now);
    // The next alarm deletes them: nobody waits for it.
    if (room.beyond === 'delete') expireBeyond(this.#jobs, room, now);
    await this.#wakeLater();
    return { value: null };
  }

  async renewJob(id: string): Promise<void> {
    if (this.#isPrepared) this.#jobs.renew(id, Date.now());
  }

  async hasJob(id: string): Promise<boolean> {
    return this.#isPrepared && this.#jobs.expectCreation(id, Date.now());
  }

  async removeJob(id: string): Promise<void> {
    if (this.#isPrepared) this.#jobs.remove(id);
  }

  async dropJob(id: string): Promise<void> {
    if (!this.#isPrepared) return;
    this.#jobs.postpone(id, Date.now() + CREATION_MS);
    await this.#wakeLater();
  }

  async noteResults(id: string, results: NotedResults): Promise<void> {
    if (this.#isPrepared) this.#jobs.noteResults(id, results);
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
        if (await abortUpload(this.#bucket(), { id, key }, `${this.ctx.id}`)) this.#uploads.end(id);
        else this.#uploads.postpone(id, now + RETRY_MS);
      }
      await deletePlaces(this.#jobs, this.env.JOBS, () => this.#bucket(), `${this.ctx.id}`);
      for (const id of this.#jobs.expired(now, MAX_TOGETHER)) {
        // Later than the others, whatever comes of it: one that cannot be deleted holds up none.
        this.#jobs.postpone(id, now + RETRY_MS);
        if (await forgetJob(this.env.JOBS, this.#bucket(), id, `${this.ctx.id}`))
          this.#jobs.remove(id);
      }
      await this.#wakeLater();
    } catch (thrown) {
      logError('expiry of files and jobs', { request_id: `${this.ctx.id}`, cause: String(thrown) });
    }
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
