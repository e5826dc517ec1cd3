/** What a caller who asks for little waits for, alone and beside one who takes whatever there is. */
import { setTimeout } from 'node:timers/promises';
import { exchange } from './exchange.ts';
import type { Load } from './measure-mix.ts';
import { json } from './mix.ts';
import { dueTimes, openLoop, systemClock } from './open-loop.ts';
import { type Outcome, Tally } from './tally.ts';

/** Requests that the greedy caller has under way at once, each for so many long texts. */
const CONNECTIONS = 16;
const TEXTS = 8;
const TOKENS = 40;
/** After a refusal the greedy caller tries again, whatever `Retry-After` says. */
const IMPATIENCE_MS = 100;
const [LIGHT, GREEDY] = [200, 201];

export type FairnessReport = {
  /** Questions of the light caller a second. */
  rate: number;
  alone: Outcome;
  besideGreedy: Outcome;
  /** The light caller's questions, asked from the greedy caller's address: what there would be without telling them apart. */
  asGreedy: Outcome;
  /** The requests of the greedy caller, of so many texts each. */
  greedy: Outcome & { connections: number; texts: number };
};

export async function measureFairness(
  load: Load,
  { seconds, rate }: { seconds: number; rate: number },
): Promise<FairnessReport> {
  const greedy = new Tally();
  const durationMs = (1000 * seconds) / 3;
  const beside = async (caller: number) => {
    const stop = new AbortController();
    const taking = takeAll(load, stop.signal, greedy);
    const side = await askLightly(load, { durationMs, rate, caller });
    stop.abort();
    await taking;
    return side;
  };
  return {
    rate,
    alone: await askLightly(load, { durationMs, rate, caller: LIGHT }),
    besideGreedy: await beside(LIGHT),
    asGreedy: await beside(GREEDY),
    greedy: { connections: CONNECTIONS, texts: TEXTS, ...greedy.outcome() },
  };
}

async function askLightly(
  { url, material, signAs, clock = systemClock }: Load,
  { durationMs, rate, caller }: { durationMs: number; rate: number; caller: number },
): Promise<Outcome> {
  const { known, random } = material;
  const tally = new Tally();
  const send = async (dueAt: number) => {
    const { sha256, scene } = known[Math.floor(random() * known.length)]!;
    const question = scene.questions[0]?.question ?? 'what is it?';
    const request = json('/v1/answers', { image: { sha256 }, question, stream: true });
    tally.count(await exchange(url, signAs(request, caller), clock), dueAt);
  };
  await openLoop({ due: dueTimes('fixed', { rate, durationMs, random }), clock, send });
  return tally.outcome();
}

async function takeAll(
  { url, material, signAs, clock = systemClock }: Load,
  stop: AbortSignal,
  tally: Tally,
): Promise<void> {
  const take = async (connection: number) => {
    for (let i = 0; !stop.aborted; i++) {
      const { sha256 } = material.known[(connection + i) % material.known.length]!;
      const request = json('/v1/captions', {
        image: { sha256 },
        n: TEXTS,
        temperature: 1,
        min_tokens: TOKENS,
        max_tokens: TOKENS,
      });
      const sentAt = clock.now();
      const result = await exchange(url, signAs(request, GREEDY), clock);
      tally.count(result, sentAt);
      if (result.failure !== null) await setTimeout(IMPATIENCE_MS);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, connection) => take(connection)));
}
