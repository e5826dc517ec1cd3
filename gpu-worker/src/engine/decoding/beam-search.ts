/**
 * Beam search with the rules of transformers 5's `_beam_search`, for one prompt. Pure: logits in, continuations out.
 * A beam's score is the sum of its tokens' log-probabilities, in float32 as there.
 */
import type { GeneratedToken } from '@blip2/shared/frames';
import type { GenerationConfig } from '@blip2/shared/wire';
import {
  applyLogitsProcessors,
  finite32,
  largest,
  scoresBefore,
  toLogProbabilities,
} from './logits-processors.ts';
import type { DecodingStrategy, FinishedChoice, StepOutput, StrategyOptions } from './strategy.ts';

/** A running hypothesis. `parent`: index of the sequence of the last step that it continues. */
type Beam = { tokens: readonly GeneratedToken[]; score: number; parent: number };
/** A beam and a token that may continue it; `score` is that of both. */
type BeamCandidate = { beam: Beam; token: number; score: number; scored: GeneratedToken['scored'] };
/** A hypothesis at its end, its score divided by its length to the power of the penalty. */
type Finished = { tokens: readonly GeneratedToken[]; score: number; stopped: boolean };

/** Emits nothing before its end, and then the best `n` hypotheses. */
export class BeamSearch implements DecodingStrategy {
  readonly width: number;
  readonly #config: GenerationConfig;
  readonly #promptIds: readonly number[];
  readonly #eosIds: readonly number[];
  #running: Beam[] = [{ tokens: [], score: 0, parent: 0 }];
  /** Best first; at most `num_beams`. */
  #finished: Finished[] = [];
  /** Whether a running beam may still end better than the worst finished one. */
  #improvable = true;

  constructor({ config, promptIds, eosIds }: StrategyOptions) {
    this.width = config.num_beams;
    this.#config = config;
    this.#promptIds = promptIds;
    this.#eosIds = eosIds;
  }

  get choices(): FinishedChoice[] {
    return this.#best.map(({ tokens, score, stopped }) => ({
      finishReason: stopped ? 'stop' : 'length',
      completionTokens: tokens.length,
      score,
    }));
  }

  advance(logits: readonly Float32Array[]): StepOutput {
    const candidates = this.#candidates(logits);
    const length = (this.#running[0]?.tokens.length ?? 0) + 1;
    const isFull = length >= this.#config.max_tokens;
    const ends = ({ token }: BeamCandidate) => isFull || this.#eosIds.includes(token);
    this.#finish(candidates.slice(0, this.width).filter(ends), length);
    const open = candidates.filter((candidate) => !ends(candidate)).slice(0, this.width);
    this.#running = open.map(({ beam, token, scored, score }) => ({
      tokens: [...beam.tokens, tokenOf(token, scored)],
      score,
      parent: beam.parent,
    }));
    this.#improvable &&= this.#mayImprove(length);
    const isDone = this.#finished.length === this.width && this.#config.early_stopping === true;
    if (!this.#improvable || isDone || open.length === 0) {
      return {
        emitted: this.#best.map(({ tokens }, choice) => ({ choice, tokens: [...tokens] })),
        next: [],
      };
    }
    const next = open.map(({ beam, token }) => ({ parent: beam.parent, token }));
    for (const [index, beam] of this.#running.entries()) beam.parent = index;
    return { emitted: [], next };
  }

  get #best(): Finished[] {
    return this.#finished.slice(0, this.#config.n);
  }

  /** The likeliest continuations of all beams, best first: enough that `num_beams` of them stay running. */
  #candidates(logits: readonly Float32Array[]): BeamCandidate[] {
    const count = Math.max(2, 1 + this.#eosIds.length) * this.width;
    const all = this.#running.flatMap((beam) => {
      const values = logits[beam.parent] as Float32Array;
      toLogProbabilities(values);
      const logprobs = scoresBefore(values, this.#config);
      applyLogitsProcessors(values, this.#config, {
        tokenIds: [...this.#promptIds, ...beam.tokens.map(({ id }) => id)],
        generated: beam.tokens.length,
        eosIds: this.#eosIds,
      });
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + beam.score;
      return largest(values, count).map((token) => ({
        beam,
        token,
        score: values[token] as number,
        scored: logprobs(token),
      }));
    });
    // Stable: among equals the earlier beam and the lower token come first.
    return all.sort((a, b) => b.score - a.score).slice(0, count);
  }

  #finish(ended: readonly BeamCandidate[], length: number): void {
    const isDone = this.#finished.length === this.width && this.#config.early_stopping === true;
    if (!this.#improvable || isDone) return;
    for (const { beam, token, score, scored } of ended) {
      const stopped = this.#eosIds.includes(token);
      const tokens = stopped ? beam.tokens : [...beam.tokens, tokenOf(token, scored)];
      this.#finished.push({ tokens, stopped, score: this.#normalized(score, length) });
    }
    this.#finished.sort((a, b) => b.score - a.score);
    this.#finished.length = Math.min(this.#finished.length, this.width);
  }

  /**
   * The heuristics of transformers: the best score that a running beam can reach, against the worst finished one.
   * @param length tokens of the running beams
   */
  #mayImprove(length: number): boolean {
    if (this.#finished.length < this.width) return true;
    const best = this.#running[0];
    const worst = this.#finished.at(-1);
    if (best === undefined || worst === undefined) return false;
    const { early_stopping, length_penalty, max_tokens } = this.#config;
    const hopeful = early_stopping === 'never' && length_penalty > 0;
    return this.#normalized(best.score, hopeful ? max_tokens : length) > worst.score;
  }

  /** The end token counts as one of the hypothesis, as in transformers. Finite also where a forbidden token had to be taken. */
  #normalized(score: number, length: number): number {
    return finite32(score / length ** this.#config.length_penalty);
  }
}

function tokenOf(id: number, scored: GeneratedToken['scored']): GeneratedToken {
  return scored === undefined ? { id } : { id, scored };
}
