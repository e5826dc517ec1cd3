/** How a job's text is written: a decoding sees the logits of its rows and says what they do next. */
import type { WrittenToken } from '@blip2/shared/frames';
import type { FinishReason, GenerationConfig } from '@blip2/shared/wire';
import { BeamSearch } from './beam-search.ts';
import { Sampled } from './sampling.ts';

/** How one of the texts ended; `score` in a beam search. */
export type Choice = { finishReason: FinishReason; completionTokens: number; score?: number };

/** Tokens that are certain now, of the text number `choice`. */
export type Written = { choice: number; tokens: WrittenToken[] };

/** A row of the next step: which of the present rows it goes on from, and the token it reads. */
export type NextRow = { from: number; token: number };

export type Turn = {
  written: Written[];
  /** None when the decoding is at its end. */
  next: NextRow[];
};

export type Decoding = {
  /** Most rows it may have from now on. After the prefill it has one. */
  readonly width: number;
  /** @param logits of each present row, float32 [vocab]; changed in place */
  advance(logits: readonly Float32Array[]): Turn;
  /** How the texts ended, best first in a beam search; once `next` was empty. */
  readonly choices: Choice[];
};

/** What a decoding starts from. */
export type DecodingStart = {
  config: GenerationConfig;
  /** Ids the penalties count as seen: the prompt with its image positions, or the decoder's start token. */
  prompt: readonly number[];
  /** Any of these ends a text. */
  eos: readonly number[];
};

export function createDecoding(start: DecodingStart): Decoding {
  return start.config.num_beams > 1 ? new BeamSearch(start) : new Sampled(start);
}
