/** Time between the tokens of streamed texts, alone and while new images arrive; both alternate. */
import { setTimeout } from 'node:timers/promises';
import { exchange } from './exchange.ts';
import { Latencies, type Percentiles } from './latencies.ts';
import type { Load } from './measure-mix.ts';
import { json, upload } from './mix.ts';
import { dueTimes, openLoop, systemClock } from './open-loop.ts';
import { type Outcome, Tally } from './tally.ts';

/** Texts that are streamed at once; each is followed by another. */
const STREAMS = 4;
const TOKENS = 40;
const ROUNDS = 2;
/** After a failure the next text waits, so that a service that refuses at once is not flooded. */
const PAUSE_MS = 100;
/** Callers of the streams and of the new images. */
const [READERS, SENDERS] = [100, 150];

export type TokensReport = {
  streams: number;
  imagesPerSecond: number;
  alone: Percentiles;
  besideImages: Percentiles;
  /** The new images, from the time that each was due. */
  images: Outcome;
  /** The streamed texts. */
  texts: Outcome;
};

export async function measureTokens(
  load: Load,
  { seconds, imagesPerSecond }: { seconds: number; imagesPerSecond: number },
): Promise<TokensReport> {
  const [alone, besideImages] = [new Latencies(), new Latencies()];
  const [texts, images] = [new Tally(), new Tally()];
  const durationMs = (1000 * seconds) / (2 * ROUNDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const gaps of [alone, besideImages]) {
      const sending =
        gaps === alone ? Promise.resolve() : sendImages(load, durationMs, imagesPerSecond, images);
      await Promise.all([sending, streamTexts(load, durationMs, gaps, texts)]);
    }
  }
  return {
    streams: STREAMS,
    imagesPerSecond,
    alone: alone.percentiles(),
    besideImages: besideImages.percentiles(),
    images: images.outcome(),
    texts: texts.outcome(),
  };
}

async function streamTexts(
  { url, material, signAs, clock = systemClock }: Load,
  durationMs: number,
  gaps: Latencies,
  tally: Tally,
): Promise<void> {
  const end = clock.now() + durationMs;
  const stream = async (caller: number) => {
    for (let i = 0; clock.now() < end; i++) {
      const { sha256 } = material.known[(caller + STREAMS * i) % material.known.length]!;
      const request = json('/v1/captions', {
        image: { sha256 },
        stream: true,
        min_tokens: TOKENS,
        max_tokens: TOKENS,
      });
      const sentAt = clock.now();
      const result = await exchange(url, signAs(request, READERS + caller), clock);
      tally.count(result, sentAt);
      for (const gap of result.gaps) gaps.record(gap);
      if (result.failure !== null) await setTimeout(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: STREAMS }, (_, caller) => stream(caller)));
}

async function sendImages(
  { url, material, signAs, clock = systemClock }: Load,
  durationMs: number,
  rate: number,
  tally: Tally,
): Promise<void> {
  const { supply, random, known } = material;
  const question = known[0]?.scene.questions[0]?.question ?? 'what is it?';
  let sender = SENDERS;
  const send = async (dueAt: number) => {
    const request = signAs(upload(await supply.take(), question), sender++);
    tally.count(await exchange(url, request, clock), dueAt);
  };
  await openLoop({ due: dueTimes('poisson', { rate, durationMs, random }), clock, send });
}
