/** The edge as a worker asks it: for what an item is about, and to take its result. Every request is signed. */

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import {
  type BeginRequest,
  beginPath,
  CommitReply,
  type CommitRequest,
  commitPath,
  sourcePath,
} from '@blip2/shared/jobs/commit';
import type { JobMessage } from '@blip2/shared/jobs/message';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import { LinkedSignal } from '../http/linked-signal.ts';
import type { JobsConfig } from '../job-options.ts';
import { readLimited } from './read-limited.ts';
import { backoffMs, type Timing } from './timing.ts';

const COMMIT_TIMEOUT_MS = 30_000;
/** The edge fetches images from elsewhere meanwhile. */
export const SOURCE_TIMEOUT_MS = 60_000;
const MAX_REPLY_BYTES = 65_536;

export type Part = Pick<JobMessage, 'job' | 'part'>;

/**
 * `gone`: there is no such part any more. `refused`: this commit would be refused again. `failed`: worth another try, as
 * a refused signature is, since somebody is about to mend it.
 */
export type Committed =
  | { kind: 'taken'; reply: CommitReply }
  | { kind: 'gone' }
  | { kind: 'refused' | 'failed'; status: number };

const REFUSALS: readonly number[] = [400, 413, 415, 422];

export class EdgeClient {
  readonly #url: string;
  readonly #secret: string;
  readonly #timing: Timing;

  constructor({ edgeUrl, secret }: Pick<JobsConfig, 'edgeUrl' | 'secret'>, timing: Timing) {
    this.#url = edgeUrl;
    this.#secret = secret;
    this.#timing = timing;
  }

  /** @throws Error when the connection fails or the reply is lost, after which the commit may have been taken */
  async commit(
    { job, part }: Part,
    request: CommitRequest,
    signal: AbortSignal,
  ): Promise<Committed> {
    const body = new TextEncoder().encode(JSON.stringify(request));
    using timed = new LinkedSignal(signal, AbortSignal.timeout(COMMIT_TIMEOUT_MS));
    const response = await this.#fetch('POST', commitPath(job, part), body, timed.signal);
    const { status } = response;
    const text = await readLimited(response, MAX_REPLY_BYTES);
    if (status === 410) return { kind: 'gone' };
    if (status !== 200) return { kind: REFUSALS.includes(status) ? 'refused' : 'failed', status };
    return { kind: 'taken', reply: CommitReply.parse(JSON.parse(new TextDecoder().decode(text))) };
  }

  /**
   * Asks whether an item may be run alone, which counts as one try of it if nobody hears of it again.
   * Waits for an edge that is away, or refuses for now: a message that came so often would be hidden for minutes.
   * @throws ApiError `bad-gateway` where the edge does not say
   */
  async begin({ job, part, item }: JobMessage, signal: AbortSignal): Promise<boolean> {
    using timed = new LinkedSignal(signal, AbortSignal.timeout(SOURCE_TIMEOUT_MS));
    const path = beginPath(job, part, item);
    const request: BeginRequest = { attempt: randomUUID() };
    const sent = new TextEncoder().encode(JSON.stringify(request));
    for (let failures = 1; ; failures++) {
      const { status, body } = await this.#untilThere('POST', path, timed.signal, sent);
      await body?.cancel();
      if (status === 204) return true;
      if (status === 410) return false;
      const ms = backoffMs(this.#timing, failures);
      if (!REFUSALS.includes(status)) {
        await pause(ms, undefined, { signal: timed.signal }).catch(() => {});
        if (!timed.signal.aborted) continue;
      }
      const detail = `The edge answers ${status} when it is asked whether an item may be run.`;
      throw new ApiError('bad-gateway', detail);
    }
  }

  /** The reply: one frame, or a status that says why there is none. Waits for an edge that is away. */
  async source({ job, part, item }: JobMessage, signal: AbortSignal): Promise<Response> {
    return await this.#untilThere('GET', sourcePath(job, part, item), signal);
  }

  /**
   * Asks again and again where no edge is there, until the signal aborts. A message that were released would come again at once, here
   * or elsewhere, to the same edge: an absence would use up all receives of the whole queue.
   */
  async #untilThere(
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    body = new Uint8Array(0),
  ): Promise<Response> {
    for (let failures = 1; ; failures++) {
      try {
        return await this.#fetch(method, path, body, signal);
      } catch (error) {
        if (signal.aborted) throw error;
      }
      await pause(backoffMs(this.#timing, failures), undefined, { signal });
    }
  }

  async #fetch(
    method: 'GET' | 'POST',
    path: string,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<Response> {
    const signature = await sign(this.#secret, { method, path, body }, Date.now());
    return await fetch(this.#url + path, {
      method,
      headers: { [SIGNATURE_HEADER]: signature, 'content-type': 'application/json' },
      redirect: 'error',
      signal,
      ...(method === 'POST' && { body }),
    });
  }
}
