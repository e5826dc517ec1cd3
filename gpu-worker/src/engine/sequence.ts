/** One generation: what it was asked, what it has said, and when it stops. */
import type { FinishReason, Sampling } from '@blip2/shared/wire';
import { type Random, sampleToken, seededRandom } from './sampler.ts';

export class Sequence {
  readonly id: number;
  readonly inputIds: readonly number[];
  readonly sampling: Sampling;
  /** Tokens said so far, without the one that ended it. */
  readonly tokens: number[] = [];
  /** Positions whose keys and values are in the cache. */
  past = 0;
  finishReason: FinishReason | null = null;
  readonly #eos: ReadonlySet<number>;
  readonly #random: Random;

  constructor(id: number, inputIds: readonly number[], sampling: Sampling, eos: readonly number[]) {
    this.id = id;
    this.inputIds = inputIds;
    this.sampling = sampling;
    this.#eos = new Set(eos);
    this.#random = seededRandom(sampling.seed);
  }

  /** Token the next decode step takes in. */
  get lastToken(): number {
    return this.tokens.at(-1) as number;
  }

  /**
   * Chooses the next token.
   * @param logits float32 [vocab]; changed in place
   * @returns the token to emit; null when it was an end token
   */
  next(logits: Float32Array): number | null {
    const seen = [...this.inputIds, ...this.tokens];
    const token = sampleToken(logits, seen, this.sampling, this.#random);
    if (this.#eos.has(token)) {
      this.finishReason = 'stop';
      return null;
    }
    this.tokens.push(token);
    if (this.tokens.length >= this.sampling.max_tokens) this.finishReason = 'length';
    return token;
  }
}
