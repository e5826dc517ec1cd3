/** Logs one run: a line at its end, and before it the error where that is ours. */
import type { ApiError, ProblemSlug } from '@blip2/shared/errors';
import type { GpuRequest } from '@blip2/shared/wire';
import type { Logger } from '../logger.ts';
import type { OpenTrace } from '../tracing/traces.ts';

export type RunOutcome = 'done' | 'canceled' | ProblemSlug;

export class RequestLog {
  readonly #log: Logger;
  readonly #elapsed: () => number;
  readonly #trace: OpenTrace;
  #kind: GpuRequest['kind'] | undefined;
  #requestId: string;
  #firstTokenMs: number | undefined;
  #isEnded = false;

  /**
   * @param requestId names the request in every line
   * @param elapsed milliseconds since the request arrived
   * @param trace named in every line, and ended with the last
   */
  constructor(log: Logger, requestId: string, elapsed: () => number, trace: OpenTrace) {
    const { traceId } = trace;
    this.#log = traceId === undefined ? log : log.child({ trace_id: traceId });
    this.#trace = trace;
    this.#requestId = requestId;
    this.#elapsed = elapsed;
  }

  get requestId(): string {
    return this.#requestId;
  }

  /** Kind and id of the request, once they are read. */
  identify(kind: GpuRequest['kind'], requestId: string): void {
    this.#kind = kind;
    this.#requestId = requestId;
  }

  /** The first token is about to be sent. */
  firstToken(): void {
    this.#firstTokenMs = this.#elapsed();
  }

  /** An error of ours, with its stack and causes, which no client gets. */
  error(problem: ApiError): void {
    if (problem.status !== 500) return;
    this.#log.error(problem.slug, { request_id: this.#requestId, error: problem.cause });
  }

  /** The last line; a request that ends twice is logged once. */
  end(status: number, outcome: RunOutcome): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const attributes = {
      'http.request.method': 'POST',
      'url.path': '/v1/run',
      'http.response.status_code': status,
      'blip2.request_id': this.#requestId,
      ...(this.#kind !== undefined && { 'blip2.kind': this.#kind }),
      'blip2.outcome': outcome,
    };
    this.#trace.end(attributes, outcome === 'internal-error');
    this.#log.info('request', {
      request_id: this.#requestId,
      path: '/v1/run',
      kind: this.#kind,
      status,
      outcome,
      ms: Math.round(this.#elapsed()),
      ...(this.#firstTokenMs !== undefined && { first_token_ms: Math.round(this.#firstTokenMs) }),
    });
  }
}
