/** Greedy decoding and sampling: `n` texts that part after the prompt, each with draws of its own. */
import type { GenerationConfig } from '@blip2/shared/wire';
import { process, scorer } from './logits-processors.ts';
import { type Random, sampleToken, seededRandom } from './sampler.ts';
import type { Choice, Decoding, DecodingStart, NextRow, Turn, Written } from './strategy.ts';

/** One of the texts. */
type Text = { choice: number; tokens: number[]; random: Random; ended: Choice | null };

export class Sampled implements Decoding {
  readonly #config: GenerationConfig;
  readonly #prompt: readonly number[];
  readonly #eos: readonly number[];
  readonly #texts: Text[];
  /** Texts that go on, in the order of their rows. */
  #open: Text[] | null = null;

  constructor({ config, prompt, eos }: DecodingStart) {
    this.#config = config;
    this.#prompt = prompt;
    this.#eos = eos;
    this.#texts = Array.from({ length: config.n }, (_, choice) => ({
      choice,
      tokens: [],
      random: seededRandom((config.seed + choice) >>> 0),
      ended: null,
    }));
  }

  get width(): number {
    return (this.#open ?? this.#texts).length;
  }

  get choices(): Choice[] {
    return this.#texts.map(({ ended, tokens }) => {
      return ended ?? { finishReason: 'length', completionTokens: tokens.length };
    });
  }

  advance(logits: readonly Float32Array[]): Turn {
    const present = this.#open ?? this.#texts;
    const written: Written[] = [];
    const next: NextRow[] = [];
    for (const [row, text] of present.entries()) {
      const from = this.#open === null ? 0 : row;
      const shared = this.#open === null && present.length > 1;
      const own = logits[from] as Float32Array;
      const token = this.#choose(text, shared ? own.slice() : own, written);
      if (text.ended === null) next.push({ from, token });
    }
    this.#open = present.filter(({ ended }) => ended === null);
    return { written, next };
  }

  #choose(text: Text, logits: Float32Array, written: Written[]): number {
    const { tokens } = text;
    const score = scorer(logits, this.#config);
    const seen = [...this.#prompt, ...tokens];
    process(logits, this.#config, { seen, written: tokens.length, eos: this.#eos });
    const token = sampleToken(logits, this.#config, text.random);
    const ends = this.#eos.includes(token);
    if (!ends) {
      tokens.push(token);
      const scored = score(token);
      const entry = scored === undefined ? { id: token } : { id: token, scored };
      written.push({ choice: text.choice, tokens: [entry] });
    }
    if (ends) text.ended = { finishReason: 'stop', completionTokens: tokens.length };
    else if (tokens.length >= this.#config.max_tokens) {
      text.ended = { finishReason: 'length', completionTokens: tokens.length };
    }
    return token;
  }
}
