/**
 * The Durable Object of replies by `Idempotency-Key`: of all requests with one key, one runs. It runs where it came in, in a
 * Worker that the object calls back; the others wait here, and get what it wrote.
 */
import { DurableObject } from 'cloudflare:workers';
import { type LastEvent, type ReplyHead, RunningReply, replyOf } from './running-reply.ts';
import { type Bounds, type Fingerprint, type ReadImages, StoredReplies } from './stored-replies.ts';

/** Larger replies are sent, and not stored. SQLite's rows have 2 MB at most. */
const MAX_REPLY_BYTES = 2 ** 20;
/** Of one of a caller's sixteen objects, an isolate of 128 MB. */
const MAX_RUNNING = 64;
const MAX_WAITING = 256;
/** What is too old is not found; it may be there a little longer, so that one alarm deletes many. */
const SLACK_MS = 600_000;
const BOUNDS: Bounds = { replies: 4096, bytes: 16 * 2 ** 20 };

/** A reply as its Worker writes it. */
export type RunReply = ReplyHead & {
  body: ReadableStream<Uint8Array>;
  lastEvent: LastEvent;
  /** Whether the same request would get it again: asked when all of the body has come. */
  isFinal: () => Promise<boolean>;
  /** What it says something of: asked then, too. */
  images: () => Promise<ReadImages>;
};

/** A request, as its Worker hands it to the object. One of the two is called. */
export type Run = {
  /**
   * Runs it, and hands the reply to `receive`, which resolves when all of it has been read and stored. The Worker awaits
   * that: when its client is gone, what it is not waiting for ends, the end of a body that it handed over too.
   */
  execute: (receive: (reply: RunReply) => Promise<void>) => Promise<void>;
  /** That of the body, null where it was not read to its end. */
  executedDigest: () => Promise<string | null>;
  /** Reads the body, and nothing else; null where it cannot be read. */
  digest: () => Promise<string | null>;
  /** Whether one of these was deleted meanwhile. */
  areGone: (images: ReadImages) => Promise<boolean>;
};

/** What became of a request. */
export type Outcome =
  | { kind: 'first' | 'replayed'; response: Response }
  /** The key is that of another request, or the body cannot be read. */
  | { kind: 'reused' }
  /** The first request ended without a reply: its Worker is gone. */
  | { kind: 'broken' }
  /** Too many replies are stored, or too many requests with keys are under way. */
  | { kind: 'full'; retryAfterMs: number }
  | { kind: 'busy' };

type Job = { head: string; digest: Promise<string | null>; reply: RunningReply; waiting: number };

export class IdempotentReplies extends DurableObject {
  readonly #stored: StoredReplies;
  readonly #running = new Map<string, Job>();

  constructor(context: DurableObjectState, env: Cloudflare.Env) {
    super(context, env);
    this.#stored = new StoredReplies(context.storage.sql, BOUNDS);
  }

  /**
   * @param key of caller and `Idempotency-Key`
   * @param head digest of what the request says beside its body
   * @param lastDeletion of an image of its namespace, milliseconds since the epoch
   */
  async run(key: string, head: string, run: Run, lastDeletion: number): Promise<Outcome> {
    const read = this.#stored.find(key, Date.now())?.images ?? [];
    const mayBeGone = read.some(([, sentAt]) => sentAt <= lastDeletion);
    // Before anything of the body is read: then the request runs.
    if (mayBeGone && (await run.areGone(read))) this.#stored.delete(key, read);
    const stored = this.#stored.find(key, Date.now());
    const job = this.#running.get(key);
    const broken = (): Outcome => ({ kind: 'broken' });
    if (stored !== null) {
      if (!(await isSame(stored.fingerprint, head, run))) return { kind: 'reused' };
      return { kind: 'replayed', response: replyOf(stored.head, stored.body) };
    }
    if (job !== undefined) return await this.#wait(job, head, run).catch(broken);
    if (this.#running.size >= MAX_RUNNING) return { kind: 'busy' };
    const retryAfterMs = this.#stored.msUntilRoom(Date.now());
    if (retryAfterMs > 0) return { kind: 'full', retryAfterMs };
    return await this.#begin(key, head, run).catch(broken);
  }

  override async alarm(): Promise<void> {
    this.#stored.deleteExpired(Date.now());
    if (!this.#stored.isEmpty) await this.#setAlarm();
    else if (this.#running.size === 0) {
      this.#stored.forget();
      await this.ctx.storage.deleteAll();
    }
  }

  async #wait(job: Job, head: string, run: Run): Promise<Outcome> {
    if (job.waiting >= MAX_WAITING) return { kind: 'busy' };
    job.waiting++;
    // Before anything is awaited: what has been written is held for those who are here.
    const opening = job.reply.open();
    opening.catch(() => {});
    try {
      const fingerprint = { head: job.head, body: await job.digest };
      if (await isSame(fingerprint, head, run)) {
        return { kind: 'replayed', response: await opening };
      }
      opening.then(({ body }) => body?.cancel()).catch(() => {});
      return { kind: 'reused' };
    } finally {
      job.waiting--;
    }
  }

  async #begin(key: string, head: string, run: Run): Promise<Outcome> {
    const reply = new RunningReply(MAX_REPLY_BYTES);
    const digest = run.executedDigest();
    digest.catch(() => {});
    const job: Job = { head, digest, reply, waiting: 0 };
    this.#running.set(key, job);
    const opening = reply.open();
    // It goes on without whoever asked for it: the reply is the key's.
    this.ctx.waitUntil(
      run
        .execute((written) => this.#receive(key, job, written))
        .catch((thrown: unknown) => reply.fail(thrown))
        .finally(() => {
          // Where it ended without a reply.
          reply.fail(new Error('the first request with this key ended without a reply'));
          this.#leave(key, job);
        }),
    );
    return { kind: 'first', response: await opening };
  }

  async #receive(key: string, job: Job, written: RunReply): Promise<void> {
    const { reply, head } = job;
    const { status, headers, body, lastEvent, isFinal, images } = written;
    reply.begin({ status, headers }, lastEvent);
    for await (const chunk of body) {
      await reply.write(chunk);
      // Who comes now would miss its beginning.
      if (!reply.isWhole) this.#leave(key, job);
    }
    const digest = await job.digest;
    const isStored = (await isFinal()) && reply.isWhole && digest !== null;
    if (isStored) {
      const fingerprint = { head, body: digest };
      const read = await images();
      this.#stored.put(key, fingerprint, { status, headers }, reply.body(), read, Date.now());
      await this.#setAlarm();
    }
    reply.end();
    // Who comes now finds it stored, or runs.
    this.#leave(key, job);
  }

  #leave(key: string, job: Job): void {
    if (this.#running.get(key) === job) this.#running.delete(key);
  }

  async #setAlarm(): Promise<void> {
    const end = this.#stored.nextEnd();
    const { storage } = this.ctx;
    if (end === null || (await storage.getAlarm()) !== null) return;
    await storage.setAlarm(end + SLACK_MS);
  }
}

/** A reply that came before the body was read depends on the head alone. */
async function isSame(first: Fingerprint, head: string, run: Run): Promise<boolean> {
  if (first.head !== head) return false;
  return first.body === null || first.body === (await run.digest());
}
