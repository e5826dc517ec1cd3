/** Waits for a worker where all have just gone: of all requests that wait, one asks, and the others hear of it. */
import type { RequestContext } from '../request-context.ts';
import type { Backend } from './backend.ts';

/** Between two looks whether a worker that has gone is there again. */
const LOOK_MS = 250;

type Options = {
  now: () => number;
  /** Milliseconds that requests wait after the last worker has gone. */
  restartMs: number;
  /** After which a worker that is asked has not answered, milliseconds. */
  answerMs: number;
};

export class ReturnWatch {
  readonly #options: Options;
  /** When the last of them had gone, while none is there again; milliseconds since the epoch. */
  #goneSince: number | null = null;
  /** The one who asks. It may be stopped at any time, and then is silent. */
  #looker: { until: number } | null = null;

  constructor(options: Options) {
    this.#options = options;
  }

  /** To be called when any worker has replied. */
  heard(): void {
    this.#goneSince = null;
  }

  /**
   * @param workers those that may come back
   * @param choose the one to take where somebody else has heard of one
   * @returns a worker that is ready, now or as soon as one that has just gone may be there again; null where none is
   */
  async comesBack(
    workers: readonly Backend[],
    choose: () => Backend,
    { signal, deadlineAt }: RequestContext,
  ): Promise<Backend | null> {
    const { now, restartMs } = this.#options;
    this.#goneSince ??= now();
    const until = Math.min(this.#goneSince + restartMs, deadlineAt);
    const me = { until: 0 };
    try {
      for (;;) {
        const ready = this.#goneSince === null ? choose() : await this.#look(me, workers);
        if (signal.aborted) return null;
        if (ready !== null) return ready;
        if (now() >= until) return null;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    } finally {
      if (this.#looker === me) this.#looker = null;
    }
  }

  async #look(me: { until: number }, workers: readonly Backend[]): Promise<Backend | null> {
    const { now, answerMs } = this.#options;
    const looker = this.#looker ?? me;
    if (looker !== me && now() < looker.until) return null;
    this.#looker = me;
    me.until = now() + LOOK_MS + answerMs;
    const ready = await Promise.any(
      workers.map(async (worker) => {
        if (await worker.client.isReady()) return worker;
        throw new Error('not ready');
      }),
    ).catch(() => null);
    if (ready === null) return null;
    ready.succeeded();
    this.heard();
    return ready;
  }
}
