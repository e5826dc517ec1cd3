/** Asks the retrieval model what it has answered before: `known-answer.ts`. */
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { Precision } from '@blip2/shared/precision';
import { MatchScore } from '@blip2/shared/wire';
import * as z from 'zod/mini';
import type { EngineClient } from './engine/client.ts';
import type { RetrievalOptions } from './engine/protocol.ts';
import {
  type AskedEngine,
  checkAnswer,
  pattern,
  type Question,
  relativeError,
  run,
} from './known-answer.ts';
import type { Logger } from './logger.ts';

const Answer = z.object({
  /** ITC's unit vector of a fixed text. */
  text: z.array(z.number()).check(z.minLength(1)),
  /** A fixed image compared with it. */
  score: MatchScore,
});
type Answer = z.infer<typeof Answer>;

/** Relative error of the vector, and difference of a score: a logit that is 0.2 off, or 1.3, makes so much of a probability. */
const TOLERANCE: Record<Precision, { text: number; score: number }> = {
  fp32: { text: 0.02, score: 0.05 },
  int8: { text: 0.2, score: 0.3 },
  int4: { text: 0.2, score: 0.3 },
};

/** @throws Error when the answers are further apart than arithmetic explains */
export async function checkRetrievalAnswer(
  { bundle, manifest }: RetrievalOptions,
  { engine, executionProvider }: Pick<AskedEngine, 'engine' | 'executionProvider'>,
  log: Logger,
): Promise<void> {
  const question: Question<Answer> = {
    answer: Answer,
    ask: () => ask(engine, manifest),
    differenceOf: (known, found) => differenceOf(known, found, manifest.precision),
  };
  await checkAnswer({ bundle, manifest, executionProvider }, question, log);
}

/** A fixed image and a text of some ids, through every graph of the retrieval model. */
async function ask(
  engine: EngineClient,
  { image, text: { vocab, cls_token_id, sep_token_id } }: RetrievalManifest,
): Promise<Answer> {
  const ids = [1, 2, 3, 4].map((part) => Math.floor((part * vocab) / 5));
  const texts = [[cls_token_id, ...ids, sep_token_id]];
  let text: number[] = [];
  for await (const event of run(engine, { kind: 'embed-texts', texts })) {
    if (event.type === 'texts') text = [...(event.embeddings[0] ?? [])];
  }
  let score = { itm: Number.NaN, itc: Number.NaN };
  for await (const event of run(engine, { kind: 'match', source: pattern(image.size), texts })) {
    if (event.type === 'scores') score = event.scores[0] ?? score;
  }
  return { text, score };
}

function differenceOf(known: Answer, found: Answer, precision: Precision): string | null {
  const tolerance = TOLERANCE[precision];
  const error = relativeError(known.text, found.text);
  if (!(error <= tolerance.text)) {
    return `its embedding of a text has a relative error of ${error.toPrecision(2)}`;
  }
  for (const kind of ['itm', 'itc'] as const) {
    const off = Math.abs(known.score[kind] - found.score[kind]);
    if (!(off <= tolerance.score)) return `its ${kind} score is ${off.toPrecision(2)} away`;
  }
  return null;
}
