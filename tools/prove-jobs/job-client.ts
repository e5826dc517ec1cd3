/** Jobs as the proof asks for them, over HTTP: each call is repeated while the edge is away. */
import { setTimeout as delay } from 'node:timers/promises';
import { expectOk } from '../api.ts';

export type Counts = { total: number; completed: number; failed: number; canceled: number };
export type JobState = { id: string; status: string; items: Counts };
export type ResultLine = {
  id: string;
  status: number | null;
  error: { code: string } | null;
};

const ENDED = new Set(['completed', 'failed', 'cancelled', 'expired']);
const NEWLINE = 0x0a;
const POLL_MS = 250;
/** How long the edge may be away. */
const AWAY_MS = 60_000;

export class JobClient {
  readonly #url: string;

  /** @param url of the edge */
  constructor(url: string) {
    this.#url = url;
  }

  /** @param lines of native items; a stream is sent as it comes */
  async create(
    task: string,
    lines: string | ReadableStream<Uint8Array>,
    settings: object = {},
  ): Promise<string> {
    const query = new URLSearchParams({ task, settings: JSON.stringify(settings) });
    const headers = { 'content-type': 'application/x-ndjson' };
    const init = { method: 'POST', headers, body: lines, duplex: 'half' as const };
    const response = await fetch(`${this.#url}/v1/jobs?${query}`, init);
    return ((await (await expectOk(response)).json()) as JobState).id;
  }

  async state(id: string): Promise<JobState> {
    return JSON.parse(await this.#text(`/v1/jobs/${id}`)) as JobState;
  }

  async cancel(id: string): Promise<void> {
    await this.#text(`/v1/jobs/${id}`, 'DELETE');
  }

  /**
   * Waits until the job has ended, or a condition holds.
   * @param onState gets each state that is seen
   * @throws Error after `timeoutMs`
   */
  async until(
    id: string,
    { timeoutMs, onState, isEnough = () => false }: Watching,
  ): Promise<JobState> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const state = await this.state(id);
      onState?.(state);
      if (ENDED.has(state.status) || isEnough(state)) return state;
      if (performance.now() > deadline) {
        throw new Error(`The job has not ended in time: ${JSON.stringify(state.items)}`);
      }
      await delay(POLL_MS);
    }
  }

  async results(id: string): Promise<ResultLine[]> {
    const text = await this.#text(`/v1/jobs/${id}/results`);
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  }

  /** Lines of its results, which are not held. */
  async countResults(id: string): Promise<number> {
    const response = await expectOk(await fetch(`${this.#url}/v1/jobs/${id}/results`));
    let lines = 0;
    for await (const chunk of response.body ?? []) {
      for (const byte of chunk) if (byte === NEWLINE) lines++;
    }
    return lines;
  }

  async #text(path: string, method = 'GET'): Promise<string> {
    const deadline = performance.now() + AWAY_MS;
    for (;;) {
      try {
        const response = await fetch(`${this.#url}${path}`, { method });
        return await (await expectOk(response)).text();
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(POLL_MS);
      }
    }
  }
}

export type Watching = {
  timeoutMs: number;
  onState?: (state: JobState) => void;
  isEnough?: (state: JobState) => boolean;
};
