/**
 * Whether the GPU worker is alive, asked only while a reply is silent: a stopped process keeps its connections open.
 *
 * Over a network a stopped process and a busy one look the same, and a draining one refuses connections while it finishes
 * its replies. So silence is proof only after a time in which no busy worker stays silent; one that has ended shows at once,
 * since its connections break.
 *
 * What was found is data of the isolate, never a promise: Cloudflare may stop the request that asks, and nobody else may
 * wait for what it began.
 */
import { ApiError } from '@blip2/shared/errors';
import type { Platform } from '../platform.ts';

export type LivenessOptions = Pick<Platform, 'fetch' | 'now'> & {
  /** Without a trailing slash. */
  baseUrl: string;
  /** Milliseconds of silence after which the worker is asked, and between two questions. */
  silenceMs?: number;
  /** Milliseconds between two looks at a silent reply. */
  lookMs?: number;
  /** Milliseconds that an answer may take. */
  answerMs?: number;
};

/**
 * Questions in a row without an answer that prove a worker dead. With the times below they take a minute: for that long the
 * supervisor, too, lets a worker compute that does not answer.
 */
const MISSES = 6;

export class Liveness {
  readonly #options: Required<LivenessOptions>;
  #askedAt = Number.NEGATIVE_INFINITY;
  #deadAt = Number.NEGATIVE_INFINITY;
  #misses = 0;

  constructor(options: LivenessOptions) {
    this.#options = { silenceMs: 3000, lookMs: 500, answerMs: 10_000, ...options };
  }

  /** To be called when the worker has said anything. */
  heard(): void {
    this.#misses = 0;
  }

  /**
   * Watches one reply.
   * @param onDead gets the problem, at most once
   * @example
   * using watch = liveness.watch((problem) => abort(problem));
   * watch.waiting(); // for the next frame
   */
  watch(onDead: (problem: ApiError) => void): LivenessWatch {
    const { lookMs, now } = this.#options;
    let since: number | null = null;
    let timer: ReturnType<typeof setTimeout>;
    const lookLater = () => {
      timer = setTimeout(() => {
        lookLater();
        if (since !== null) this.#look(since, onDead);
      }, lookMs);
    };
    lookLater();
    return {
      waiting: () => {
        since = now();
      },
      received: () => {
        since = null;
        this.heard();
      },
      [Symbol.dispose]: () => clearTimeout(timer),
    };
  }

  #look(since: number, onDead: (problem: ApiError) => void): void {
    const { now, silenceMs, lookMs, answerMs } = this.#options;
    if (this.#deadAt >= since) {
      onDead(dead());
      return;
    }
    // Nobody waits long for a worker that has just left a question unanswered.
    const patienceMs = this.#misses > 0 ? lookMs : silenceMs;
    const asksAgainAt = this.#askedAt + Math.max(patienceMs, answerMs + lookMs);
    if (now() < Math.max(asksAgainAt, since + patienceMs)) return;
    this.#askedAt = now();
    this.#ask().catch(() => {});
  }

  /** Those who wait read the outcome when they look next. */
  async #ask(): Promise<void> {
    const { baseUrl, fetch, now, answerMs } = this.#options;
    // False where it says itself that it hangs, null where it says nothing.
    const isAlive = await fetch(`${baseUrl}/healthz`, {
      signal: AbortSignal.timeout(answerMs),
    }).then(
      async (response) => {
        await response.body?.cancel();
        return response.ok;
      },
      () => null,
    );
    if (isAlive === true) {
      this.#misses = 0;
      return;
    }
    this.#misses += 1;
    if (isAlive === false || this.#misses >= MISSES) this.#deadAt = now();
  }
}

export type LivenessWatch = Disposable & {
  /** From now on the worker is waited for. */
  waiting: () => void;
  /** It has sent something, and the caller has its turn. */
  received: () => void;
};

function dead(): ApiError {
  const detail = 'The GPU worker does not answer any more.';
  return new ApiError('worker-unavailable', detail, { retry_after: 5 });
}
