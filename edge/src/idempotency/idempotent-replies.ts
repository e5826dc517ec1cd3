/**
 * The Durable Object of replies by `Idempotency-Key`: of all requests with one key, one runs. It runs where it came in, in a
 * Worker that the object calls back; the others wait here, and get what it wrote.
 */
import { DurableObject } from 'cloudflare:workers';
import { type LastEvent, type ReplyHead, RunningReply, replyOf } from './running-reply.ts';
import {
  type Bounds,
  type Fingerprint,
  StoredReplies,
  type StoredReply,
  type Subject,
} from './stored-replies.ts';

/** Larger replies are sent, and not stored. SQLite's rows have 2 MB at most. */
const MAX_REPLY_BYTES = 2 ** 20;
/** Of one of a caller's sixteen objects, an isolate of 128 MB. */
const MAX_RUNNING = 64;
const MAX_WAITING = 256;
/** What is too old is not found; it may be there a little longer, so that one alarm deletes many. */
const SLACK_MS = 600_000;
const BOUNDS: Bounds = { keys: 16_384, bytes: 16 * 2 ** 20 };

/** A reply as its Worker writes it. */
export type RunReply = ReplyHead & {
  body: ReadableStream<Uint8Array>;
  lastEvent: LastEvent;
  /** Whether the same request would get it again: asked when all of the body has come. */
  isFinal: () => Promise<boolean>;
  /** What it says something of: asked then, too. */
  subject: () => Promise<Subject>;
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
  /** Whether something of this was deleted meanwhile. */
  isGone: (subject: Subject) => Promise<boolean>;
};

/** What became of a request. */
export type Outcome =
  | { kind: 'first' | 'replayed'; response: Response }
  /** The key is that of another request, or the body cannot be read. */
  | { kind: 'reused' }
  /** The first request ended without a reply: its Worker is gone. */
  | { kind: 'broken' }
  /** The request has run, and others needed the room of its reply. */
  | { kind: 'dropped' }
  /** Too many keys are known, or too many requests with keys are under way. */
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
    const found = this.#stored.find(key, Date.now());
    // Before anything of the body is read: then the request runs.
    if (found !== null && (await isGone(found, head, run, lastDeletion))) {
      this.#stored.delete(key, found.subject);
    }
    const stored = this.#stored.find(key, Date.now());
    const job = this.#running.get(key);
    const broken = (): Outcome => ({ kind: 'broken' });
    if (stored !== null) {
      if (!(await isSame(stored.fingerprint, head, run))) return { kind: 'reused' };
      if (stored.body === null) return { kind: 'dropped' };
      return { kind: 'replayed', response: replyOf(stored.head, stored.body) };
    }
    if (job !== undefined) {
      const outcome = await this.#wait(job, head, run).catch(broken);
      if (outcome !== null) return outcome;
      // Its place is that of whoever comes first of those who waited for it.
      this.#leave(key, job);
      return await this.run(key, head, run, lastDeletion);
    }
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

  /**
   * @returns null where the body of the first did not come whole: nobody knows what it would have asked for, and what became
   *   of it, a connection that broke or was too slow, is its own. Nothing of the body of `run` has been read then.
   */
  async #wait(job: Job, head: string, run: Run): Promise<Outcome | null> {
    if (job.waiting >= MAX_WAITING) return { kind: 'busy' };
    job.waiting++;
    // Before anything is awaited: what has been written is held for those who are here.
    const opening = job.reply.open();
    opening.catch(() => {});
    const leave = () => void opening.then(({ body }) => body?.cancel()).catch(() => {});
    try {
      const body = await job.digest;
      if (body === null) {
        leave();
        return null;
      }
      if (await isSame({ head: job.head, body }, head, run)) {
        return { kind: 'replayed', response: await opening };
      }
      leave();
      return { kind: 'reused' };
    } finally {
      job.waiting--;
    }
  }

  async #begin(key: string, head: string, run: Run): Promise<Outcome> {
    const reply = new RunningReply(MAX_REPLY_BYTES);
    // It rejects where its Worker is gone.
    const digest = Promise.resolve(run.executedDigest()).catch(() => null);
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
    const { status, headers, body, lastEvent, isFinal, subject } = written;
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
      const about = await subject();
      this.#stored.put(key, fingerprint, { status, headers }, reply.body(), about, Date.now());
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

async function isSame(first: Fingerprint, head: string, run: Run): Promise<boolean> {
  return first.head === head && first.body === (await run.digest());
}

/** Whether a stored reply is about something that was deleted. The Worker is asked only where that can be. */
async function isGone(
  { fingerprint, subject }: StoredReply,
  head: string,
  run: Run,
  lastDeletion: number,
): Promise<boolean> {
  const { images } = subject;
  const mayBe = images.some(([, sentAt]) => sentAt <= lastDeletion);
  // An id is looked up by the route that handed it out.
  const named = fingerprint.head === head ? subject.named : null;
  if (!mayBe && named === null) return false;
  return await run.isGone({ images: mayBe ? images : [], named });
}
