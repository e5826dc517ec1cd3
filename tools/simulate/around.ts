/** Takes the time of requests apart: what of it is the engine's, what each process computes, and what is only waited for. */
import { median } from '../bench/statistics.ts';
import type { ProcessorTime } from './processor-time.ts';
import { type Around, condensed, type Stages } from './service-times.ts';

/** Requests that came one at a time, ms. */
export type OneAtATime = {
  /** From each request to its first token, less what the engine did for it. */
  ways: readonly number[];
  /** From its first token to its end: the median. */
  back: number;
  /** What the engine did for one, and what processors did: means. */
  engine: number;
  processor: ProcessorTime;
};

/** Processor time of each token beside the engine's: the difference between long replies and short ones. */
export function tokenStages(short: OneAtATime, long: OneAtATime, tokens: number): Stages {
  const each = (of: (one: OneAtATime) => number) =>
    rounded(Math.max(0, of(long) - of(short)) / tokens);
  return {
    client: each(({ processor }) => processor.client),
    edge: each(({ processor }) => processor.edge),
    http: each(httpOf),
  };
}

/**
 * What a request takes beside its tokens. Processor time that fits into what is waited for is in its way; what does not is
 * spent meanwhile, or later (garbage, writes into caches), and takes cores only.
 * @param oneToken requests whose replies are of one token
 */
export function aroundOf(oneToken: OneAtATime, token: Stages): Around {
  const { ways, back, processor } = oneToken;
  const typical = median(ways);
  const spread = condensed(ways.map((way) => (typical === 0 ? 1 : Math.max(0, way) / typical)));
  const longer = mean(spread);
  const own: Stages = {
    client: Math.max(0, processor.client - token.client),
    edge: Math.max(0, processor.edge - token.edge),
    http: Math.max(0, httpOf(oneToken) - token.http),
  };
  const computed = sum(own);
  // Means of processor time: a typical request takes less than the mean one.
  const decode = longer === 0 ? 0 : processor.decoders / longer;
  const before = Math.max(0, typical - decode - sum(token));
  const share = (ms: number, of: number) => (of === 0 ? 0 : Math.min(1, ms / of));
  const ofAfter = share(back, computed) * AFTER;
  const most = (1 - ofAfter) / Math.max(1, longer);
  const ofBefore = share(before, computed * most) * most;
  return {
    before: scaled(own, ofBefore),
    decode: rounded(decode),
    beforeWait: rounded(Math.max(0, before - computed * ofBefore)),
    spread,
    after: scaled(own, ofAfter),
    afterWait: rounded(Math.max(0, back - computed * ofAfter)),
    later: scaled(own, Math.max(0, 1 - ofBefore * longer - ofAfter)),
  };
}

/** At most so much of a request's processor time is on its way back: reading it and looking it up come before. */
const AFTER = 0.3;

function httpOf({ processor, engine }: OneAtATime): number {
  return Math.max(0, processor.worker - engine);
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const sum = ({ client, edge, http }: Stages) => client + edge + http;
const rounded = (ms: number) => Number(ms.toFixed(3));

function scaled({ client, edge, http }: Stages, by: number): Stages {
  return { client: rounded(client * by), edge: rounded(edge * by), http: rounded(http * by) };
}
