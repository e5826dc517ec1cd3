/**
 * Events on their way out of the engine. A beam search has all of its tokens at its end: with log-probabilities, a clone of them at
 * once would take a third of a second, in which nobody gets a token, and longer on the thread that reads it.
 */
import type { JobEvent } from './protocol.ts';
import type { EngineRequest } from './sequence.ts';

/** Candidates that leave at a time, tokens among them: 64 tokens of 21 candidates, and a millisecond or two. */
const MOST = 64 * 21;

type TokensEvent = Extract<JobEvent, { type: 'tokens' }>;
type Tokens = TokensEvent['tokens'];

/** What a request emits leaves in order, as much of its tokens in one turn of the engine as is sent at once. */
export class Outbox {
  readonly #send: (id: number, event: JobEvent) => void;
  /** Events that wait for a turn. */
  readonly #waiting = new Map<EngineRequest, JobEvent[]>();
  /** Candidates that have left in this turn. */
  #sent = new Map<EngineRequest, number>();

  constructor(send: (id: number, event: JobEvent) => void) {
    this.#send = send;
  }

  /** Sends an event, or as much of it as may leave in this turn. */
  emit(request: EngineRequest, event: JobEvent): void {
    const waiting = this.#waiting.get(request);
    const pieces = event.type === 'tokens' ? piecesOf(event) : [event];
    if (waiting !== undefined) {
      waiting.push(...pieces);
      return;
    }
    const rest = this.#sendSome(request, pieces);
    if (rest.length > 0) this.#waiting.set(request, rest);
  }

  /** Begins a turn. @returns the requests of which events wait */
  next(): EngineRequest[] {
    if (this.#sent.size > 0) this.#sent = new Map();
    return [...this.#waiting.keys()];
  }

  /** Sends what of a request may leave in this turn. */
  advance(request: EngineRequest): void {
    const waiting = this.#waiting.get(request) ?? [];
    this.#waiting.delete(request);
    const rest = this.#sendSome(request, waiting);
    if (rest.length > 0) this.#waiting.set(request, rest);
  }

  /** Forgets what of a request has not left. */
  remove(id: number): void {
    for (const request of this.#waiting.keys()) {
      if (request.id === id) this.#waiting.delete(request);
    }
  }

  /** @returns the events that have to wait */
  #sendSome(request: EngineRequest, events: readonly JobEvent[]): JobEvent[] {
    let sent = this.#sent.get(request) ?? 0;
    for (const [i, event] of events.entries()) {
      const size = event.type === 'tokens' ? sizeOf(event.tokens) : 0;
      if (sent > 0 && sent + size > MOST) return events.slice(i);
      this.#send(request.id, event);
      sent += size;
      this.#sent.set(request, sent);
    }
    return [];
  }
}

/** Of so many tokens each that a piece may leave in one turn. */
function piecesOf({ tokens, ...event }: TokensEvent): TokensEvent[] {
  const count = Math.max(1, Math.floor((MOST * tokens.length) / sizeOf(tokens)));
  return Array.from({ length: Math.ceil(tokens.length / count) }, (_, i) => {
    return { ...event, tokens: tokens.slice(i * count, (i + 1) * count) };
  });
}

/** All tokens of an event have as many candidates beside them. */
function sizeOf(tokens: Tokens): number {
  return tokens.length * (1 + (tokens[0]?.scored?.top.length ?? 0));
}
