/** One GPU worker as this isolate sees it: how much it has at the moment, and whether it is worth a try. */

import type { WorkerAddress } from '@blip2/shared/config/worker-addresses';
import type { GpuClient } from './client.ts';

/** How long a worker that has failed gets nothing: doubled with each failure in a row. */
const FIRST_REST_MS = 500;
const MOST_REST_MS = 30_000;
/** How long a worker that serves another revision is passed over: it is about to be replaced, or the edge is. */
const OTHER_REVISION_MS = 5000;

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
  /** Requests that this isolate has sent and that have not ended. */
  inFlight = 0;
  /** Those of each client that has any. */
  readonly #clients = new Map<string, number>();
  #failures = 0;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #askedUntil = Number.NEGATIVE_INFINITY;
  #isOtherUntil = Number.NEGATIVE_INFINITY;

  constructor({ url, weight, zone }: WorkerAddress, client: GpuClient) {
    this.url = url;
    this.weight = weight;
    this.zone = zone;
    this.client = client;
  }

  begin(client: string): void {
    this.inFlight += 1;
    this.#clients.set(client, this.inFlightOf(client) + 1);
  }

  end(client: string): void {
    this.inFlight -= 1;
    const left = this.inFlightOf(client) - 1;
    if (left > 0) this.#clients.set(client, left);
    else this.#clients.delete(client);
  }

  inFlightOf(client: string): number {
    return this.#clients.get(client) ?? 0;
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
