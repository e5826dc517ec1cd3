/** The edge as a worker asks it: for what an item is about, and to take its result. Every request is signed. */
import { CommitReply, type CommitRequest, commitPath, sourcePath } from '@blip2/shared/jobs/commit';
import type { JobMessage } from '@blip2/shared/jobs/message';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import { LinkedSignal } from '../http/linked-signal.ts';
import { readLimited } from './read-limited.ts';

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

  /** @param url without a slash at its end */
  constructor({ edgeUrl, secret }: { edgeUrl: string; secret: string }) {
    this.#url = edgeUrl;
    this.#secret = secret;
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

  /** The reply: one frame, or a status that says why there is none. */
  async source({ job, part, item }: JobMessage, signal: AbortSignal): Promise<Response> {
    return await this.#fetch('GET', sourcePath(job, part, item), new Uint8Array(0), signal);
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
