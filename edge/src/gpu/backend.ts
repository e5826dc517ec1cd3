/** One GPU worker as this isolate sees it: how much it has at the moment, and whether it is worth a try. */

import type { WorkerAddress } from '@blip2/shared/config/worker-addresses';
import type { RequestContext } from '../request-context.ts';
import { type Place, Places } from '../turns/places.ts';
import type { GpuClient } from './client.ts';

/** How long a worker that has failed gets nothing: doubled with each failure in a row. */
const FIRST_REST_MS = 500;
const MOST_REST_MS = 30_000;
/** How long a worker that serves another revision is passed over: it is about to be replaced, or the edge is. */
const OTHER_REVISION_MS = 5000;
/** What a request may take to end after its deadline. */
const ENDING_MS = 5000;

/**
 * `closed` takes requests; `open` has failed and rests; `half-open` has rested, and is asked whether it is ready before it
 * takes requests again.
 */
export type Health = 'closed' | 'half-open' | 'open';

export class Backend {
  readonly url: string;
  readonly weight: number;
  readonly zone: string | null;
  readonly client: GpuClient;
  /** Of requests that this isolate has sent and that have not ended. */
  readonly #places: Places;
  #failures = 0;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #askedUntil = Number.NEGATIVE_INFINITY;
  #isOtherUntil = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds since the epoch */
  constructor({ url, weight, zone }: WorkerAddress, client: GpuClient, now: () => number) {
    this.url = url;
    this.weight = weight;
    this.zone = zone;
    this.client = client;
    this.#places = new Places(now);
  }

  /** Counts a request until its place is left. */
  begin({
    client = '',
    signal,
    deadlineAt,
  }: Pick<RequestContext, 'client' | 'signal' | 'deadlineAt'>): Place {
    return this.#places.take({ client, signal, until: deadlineAt + ENDING_MS });
  }

  /** Requests that this isolate has sent and that have not ended. */
  get inFlight(): number {
    return this.#places.count();
  }

  inFlightOf(client: string): number {
    return this.#places.count(client);
  }

  health(now: number): Health {
    if (this.#failures === 0) return 'closed';
    return now < this.#restsUntil ? 'open' : 'half-open';
  }

  /** Whether it takes requests, as far as anybody knows. */
  isUsable(now: number): boolean {
    return this.health(now) === 'closed' && now >= this.#isOtherUntil;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** The connection failed, or it says itself that it cannot serve. */
  failed(now: number): void {
    // Requests that fail together are one failure.
    if (now < this.#restsUntil) return;
    this.#restsUntil = now + Math.min(FIRST_REST_MS * 2 ** this.#failures, MOST_REST_MS);
    this.#failures += 1;
  }

  /** It serves another revision of the model. */
  isOther(now: number): void {
    this.#isOtherUntil = now + OTHER_REVISION_MS;
  }

  /**
   * Asks a worker that has rested whether it is ready; others go on meanwhile, and only one asks.
   * @param answerMs after which an answer does not come any more
   */
  async askAgain(now: () => number, answerMs: number): Promise<void> {
    if (this.health(now()) !== 'half-open' || now() < this.#askedUntil) return;
    this.#askedUntil = now() + answerMs;
    if (await this.client.isReady().catch(() => false)) this.succeeded();
    else this.failed(now());
    this.#askedUntil = Number.NEGATIVE_INFINITY;
  }
}
