/** One of the texts of a generation while it is written: tokens in, pieces out. */
import type { ScoredToken, WrittenToken } from '@blip2/shared/frames';
import type { TokenLogprob } from '@blip2/shared/schemas/generation';
import { createDetokenizer } from './detokenize.ts';
import { createStopFilter } from './stop-sequences.ts';

/** `index`: position of its last token; `logprobs` of the tokens since the last piece, where there are any. */
export type Piece = { text: string; index: number; logprobs?: TokenLogprob[] };

export class ChoiceText {
  /** All pieces so far. */
  text = '';
  readonly logprobs: TokenLogprob[] = [];
  /** Tokens so far. */
  count = 0;
  /** Whether a stop text was found: nothing is written after it. */
  isStopped = false;
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #detokenizer;
  readonly #filter;
  #told = 0;

  /** @param bytesOf UTF-8 bytes of a token */
  constructor(bytesOf: (id: number) => Uint8Array, stops: readonly string[]) {
    this.#bytesOf = bytesOf;
    this.#detokenizer = createDetokenizer(bytesOf);
    this.#filter = createStopFilter(stops);
  }

  /** The piece that this token completes, if any. */
  push({ id, scored }: WrittenToken): Piece | null {
    if (this.isStopped) return null;
    this.count++;
    if (scored) {
      const top_logprobs = scored.top.map((other) => this.#named(other));
      this.logprobs.push({ ...this.#named({ id, logprob: scored.logprob }), top_logprobs });
    }
    const { text, isStopped } = this.#filter.push(this.#detokenizer.push(id));
    this.isStopped = isStopped;
    return this.#piece(text);
  }

  /** What was held back until the end was known. */
  end(): Piece | null {
    if (this.isStopped) return null;
    const { text, isStopped } = this.#filter.push(this.#detokenizer.end());
    this.isStopped = isStopped;
    return this.#piece(isStopped ? text : text + this.#filter.end());
  }

  #piece(text: string): Piece | null {
    if (text === '') return null;
    this.text += text;
    const piece: Piece = { text, index: this.count - 1 };
    if (this.logprobs.length > 0) piece.logprobs = this.logprobs.slice(this.#told);
    this.#told = this.logprobs.length;
    return piece;
  }

  /** A token's own text may be a part of a character: then it shows U+FFFD. */
  #named({ id, logprob }: ScoredToken) {
    return { id, text: new TextDecoder().decode(this.#bytesOf(id)), logprob };
  }
}
