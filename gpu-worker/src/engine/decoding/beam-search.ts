/**
 * Beam search with the rules of transformers 5's `_beam_search`, for one prompt. Pure: logits in, rows out.
 * A score is the sum of a text's log-probabilities, kept in float32 as there.
 */
import type { WrittenToken } from '@blip2/shared/frames';
import type { GenerationConfig } from '@blip2/shared/wire';
import { largest, process, scorer, toLogProbabilities } from './logits-processors.ts';
import type { Choice, Decoding, DecodingStart, Turn } from './strategy.ts';

/** A text under way. `row`: the row of the last step that it goes on from. */
type Beam = { tokens: readonly WrittenToken[]; score: number; row: number };
/** A text at its end, its score divided by its length to the power of the penalty. */
type Finished = { tokens: readonly WrittenToken[]; score: number; stopped: boolean };

export class BeamSearch implements Decoding {
  readonly width: number;
  readonly #config: GenerationConfig;
  readonly #prompt: readonly number[];
  readonly #eos: readonly number[];
  #running: Beam[] = [{ tokens: [], score: 0, row: 0 }];
  /** Best first; at most `num_beams`. */
  #finished: Finished[] = [];
  /** Whether a running beam may still end better than the worst finished one. */
  #improvable = true;

  constructor({ config, prompt, eos }: DecodingStart) {
    this.width = config.num_beams;
    this.#config = config;
    this.#prompt = prompt;
    this.#eos = eos;
  }

  get choices(): Choice[] {
    return this.#best.map(({ tokens, score, stopped }) => ({
      finishReason: stopped ? 'stop' : 'length',
      completionTokens: tokens.length,
      score,
    }));
  }

  advance(logits: readonly Float32Array[]): Turn {
    const continuations = this.#continuations(logits);
    const length = (this.#running[0]?.tokens.length ?? 0) + 1;
    const isFull = length >= this.#config.max_tokens;
    const ends = ({ token }: Continuation) => isFull || this.#eos.includes(token);
    this.#finish(continuations.slice(0, this.width).filter(ends), length);
    const open = continuations.filter((continuation) => !ends(continuation)).slice(0, this.width);
    this.#running = open.map(({ beam, token, scored, score }) => ({
      tokens: [...beam.tokens, written(token, scored)],
      score,
      row: beam.row,
    }));
    this.#improvable &&= this.#mayImprove(length);
    const isDone = this.#finished.length === this.width && this.#config.early_stopping === true;
    if (!this.#improvable || isDone || open.length === 0) {
      return {
        written: this.#best.map(({ tokens }, choice) => ({ choice, tokens: [...tokens] })),
        next: [],
      };
    }
    const next = open.map(({ beam, token }) => ({ from: beam.row, token }));
    for (const [row, beam] of this.#running.entries()) beam.row = row;
    return { written: [], next };
  }

  get #best(): Finished[] {
    return this.#finished.slice(0, this.#config.n);
  }

  /** The likeliest continuations of all beams, best first: enough that `num_beams` of them go on. */
  #continuations(logits: readonly Float32Array[]): Continuation[] {
    const kept = Math.max(2, 1 + this.#eos.length) * this.width;
    const all = this.#running.flatMap((beam) => {
      const values = logits[beam.row] as Float32Array;
      const score = scorer(values, this.#config);
      toLogProbabilities(values);
      const seen = [...this.#prompt, ...beam.tokens.map(({ id }) => id)];
      process(values, this.#config, { seen, written: beam.tokens.length, eos: this.#eos });
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + beam.score;
      return largest(values, kept).map((token) => ({
        beam,
        token,
        score: values[token] as number,
        scored: score(token),
      }));
    });
    // Stable: among equals the earlier beam and the lower token come first.
    return all.sort((a, b) => b.score - a.score).slice(0, kept);
  }

  #finish(ended: readonly Continuation[], length: number): void {
    const isDone = this.#finished.length === this.width && this.#config.early_stopping === true;
    if (!this.#improvable || isDone) return;
    for (const { beam, token, score, scored } of ended) {
      const stopped = this.#eos.includes(token);
      const tokens = stopped ? beam.tokens : [...beam.tokens, written(token, scored)];
      this.#finished.push({ tokens, stopped, score: this.#normalized(score, length) });
    }
    this.#finished.sort((a, b) => b.score - a.score);
    this.#finished.length = Math.min(this.#finished.length, this.width);
  }

  /**
   * The heuristics of transformers: the best a running beam can come to, against the worst finished one.
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

  /** The end token counts as one of the text, as in transformers. */
  #normalized(score: number, length: number): number {
    return Math.fround(score / length ** this.#config.length_penalty);
  }
}

type Continuation = { beam: Beam; token: number; score: number; scored: WrittenToken['scored'] };

function written(id: number, scored: WrittenToken['scored']): WrittenToken {
  return scored === undefined ? { id } : { id, scored };
}
