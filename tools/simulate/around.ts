/** Takes the time of requests apart: what of it is the engine's, what each process computes, and what is only waited for. */
import type { ProcessorTime } from './processor-time.ts';
import type { Around, Stages } from './service-times.ts';

/** Means of requests that came one at a time, ms. */
export type OneAtATime = {
  firstToken: number;
  reply: number;
  /** What the engine did before the first token, and in all. */
  engineBefore: number;
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
  const { firstToken, reply, engineBefore, processor } = oneToken;
  const own: Stages = {
    client: Math.max(0, processor.client - token.client),
    edge: Math.max(0, processor.edge - token.edge),
    http: Math.max(0, httpOf(oneToken) - token.http),
  };
  const computed = sum(own);
  const before = Math.max(0, firstToken - engineBefore - processor.decoders - sum(token));
  const after = Math.max(0, reply - firstToken);
  const share = (ms: number, of: number) => (of === 0 ? 0 : Math.min(1, ms / of));
  const ofAfter = share(after, computed) * AFTER;
  const ofBefore = share(before, computed * (1 - ofAfter)) * (1 - ofAfter);
  return {
    before: scaled(own, ofBefore),
    decode: rounded(processor.decoders),
    beforeWait: rounded(Math.max(0, before - computed * ofBefore)),
    after: scaled(own, ofAfter),
    afterWait: rounded(Math.max(0, after - computed * ofAfter)),
    later: scaled(own, 1 - ofBefore - ofAfter),
  };
}

/** At most so much of a request's processor time is on its way back: reading it and looking it up come before. */
const AFTER = 0.3;

function httpOf({ processor, engine }: OneAtATime): number {
  return Math.max(0, processor.worker - engine);
}

const sum = ({ client, edge, http }: Stages) => client + edge + http;
const rounded = (ms: number) => Number(ms.toFixed(3));

function scaled({ client, edge, http }: Stages, by: number): Stages {
  return { client: rounded(client * by), edge: rounded(edge * by), http: rounded(http * by) };
}
