/** Streams one of the texts of a generation: tokens in, deltas of the text out. */
import type { GeneratedToken, ScoredToken } from '../frames.ts';
import type { TokenLogprob } from '../schemas/generation.ts';
import { createDetokenizer, type Decoding } from './detokenize.ts';
import { createStopFilter } from './stop-sequences.ts';

/** Next characters of a text. */
export type TextDelta = {
  text: string;
  /** Index of its last token among the generated ones. */
  index: number;
  /** Of the tokens since the last delta, where log-probabilities were asked for. */
  logprobs?: TokenLogprob[];
};

/**
 * @example
 * const streamer = new TextStreamer(tokenizer, ['.']);
 * streamer.put({ id }); // { text: 'a', index: 0 }, or null while nothing is final
 * streamer.end();       // the rest of the text, or null
 */
export class TextStreamer {
  /** All deltas so far. */
  text = '';
  /** Of all tokens so far. */
  readonly logprobs: TokenLogprob[] = [];
  /** Tokens so far. */
  count = 0;
  /** Whether a stop sequence was found: the text ends before it. */
  isStopped = false;
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #detokenizer;
  readonly #stopFilter;
  #reportedLogprobs = 0;

  /** @param stop stop sequences */
  constructor(tokenizer: Decoding, stop: readonly string[]) {
    this.#bytesOf = tokenizer.bytesOf;
    this.#detokenizer = createDetokenizer(tokenizer);
    this.#stopFilter = createStopFilter(stop);
  }

  /** The delta that this token completes, if any. */
  put({ id, scored }: GeneratedToken): TextDelta | null {
    if (this.isStopped) return null;
    this.count++;
    if (scored) {
      const top_logprobs = scored.top.map((other) => this.#withText(other));
      this.logprobs.push({ ...this.#withText({ id, logprob: scored.logprob }), top_logprobs });
    }
    const { text, isStopped } = this.#stopFilter.push(this.#detokenizer.push(id));
    this.isStopped = isStopped;
    return this.#delta(text);
  }

  /** The rest of the text, which was held back. */
  end(): TextDelta | null {
    if (this.isStopped) return null;
    const { text, isStopped } = this.#stopFilter.push(this.#detokenizer.end());
    this.isStopped = isStopped;
    return this.#delta(isStopped ? text : text + this.#stopFilter.end());
  }

  #delta(text: string): TextDelta | null {
    if (text === '') return null;
    this.text += text;
    const delta: TextDelta = { text, index: this.count - 1 };
    if (this.logprobs.length > 0) delta.logprobs = this.logprobs.slice(this.#reportedLogprobs);
    this.#reportedLogprobs = this.logprobs.length;
    return delta;
  }

  /** A token's own text may be a part of a character: then it is U+FFFD. */
  #withText({ id, logprob }: ScoredToken) {
    return { id, text: new TextDecoder().decode(this.#bytesOf(id)), logprob };
  }
}
