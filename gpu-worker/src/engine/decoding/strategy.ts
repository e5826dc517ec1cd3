/**
 * The interface of a decoding strategy. Pure: from the logits of a group's sequences to the tokens that are final now,
 * and the sequences of the next step.
 */
import type { GeneratedToken } from '@blip2/shared/frames';
import type { FinishReason, GenerationConfig } from '@blip2/shared/wire';

/** How one of a request's choices ended; `score` in a beam search: its length-normalized log-probability. */
export type FinishedChoice = {
  finishReason: FinishReason;
  completionTokens: number;
  score?: number;
};

/** Tokens that are final now, of the choice number `choice`. */
export type ChoiceTokens = { choice: number; tokens: GeneratedToken[] };

/** A sequence of the next step: the index of the present sequence that it continues, and the token id it reads. */
export type Continuation = { parent: number; token: number };

/** The result of one step. */
export type StepOutput = {
  emitted: ChoiceTokens[];
  /** Sequences of the next step; none when the generation is over. */
  next: Continuation[];
};

export type DecodingStrategy = {
  /** Most sequences it may have from now on. After the prefill it has one. */
  readonly width: number;
  /** @param logits of each present sequence, float32 [vocab]; changed in place */
  advance(logits: readonly Float32Array[]): StepOutput;
  /** How the choices ended, best first in a beam search; valid once `next` was empty. */
  readonly choices: FinishedChoice[];
};

export type StrategyOptions = {
  config: GenerationConfig;
  /** Token ids that penalties count as present: the prompt with its image positions, or the decoder's start token. */
  promptIds: readonly number[];
  /** Any of these ends a sequence. */
  eosIds: readonly number[];
};
