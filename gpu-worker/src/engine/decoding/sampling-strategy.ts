/** Greedy decoding and sampling: `n` sequences that share a prompt, each with its own random numbers. */
import type { GenerationConfig } from '@blip2/shared/wire';
import { applyLogitsProcessors, logprobsOf } from './logits-processors.ts';
import { type Random, sampleToken, seededRandom } from './sample-token.ts';
import type {
  ChoiceTokens,
  Continuation,
  DecodingStrategy,
  FinishedChoice,
  StepOutput,
  StrategyOptions,
} from './strategy.ts';

/** One of the choices, and its tokens so far. */
type SampledChoice = {
  choice: number;
  tokens: number[];
  random: Random;
  finished: FinishedChoice | null;
};

/** The strategy without beams; greedy where the temperature is 0. */
export class Sampling implements DecodingStrategy {
  readonly #config: GenerationConfig;
  readonly #promptIds: readonly number[];
  readonly #eosIds: readonly number[];
  readonly #choices: SampledChoice[];
  /** Choices that have not finished, in the order of their sequences; null while all share the prompt's one. */
  #running: SampledChoice[] | null = null;

  constructor({ config, promptIds, eosIds }: StrategyOptions) {
    this.#config = config;
    this.#promptIds = promptIds;
    this.#eosIds = eosIds;
    this.#choices = Array.from({ length: config.n }, (_, choice) => ({
      choice,
      tokens: [],
      random: seededRandom((config.seed + choice) >>> 0),
      finished: null,
    }));
  }

  get width(): number {
    return (this.#running ?? this.#choices).length;
  }

  get choices(): FinishedChoice[] {
    return this.#choices.map(({ finished, tokens }) => {
      return finished ?? { finishReason: 'length', completionTokens: tokens.length };
    });
  }

  advance(logits: readonly Float32Array[]): StepOutput {
    const present = this.#running ?? this.#choices;
    const emitted: ChoiceTokens[] = [];
    const next: Continuation[] = [];
    for (const [index, choice] of present.entries()) {
      const parent = this.#running === null ? 0 : index;
      const isShared = this.#running === null && present.length > 1;
      const own = logits[parent] as Float32Array;
      const token = this.#sample(choice, isShared ? own.slice() : own, emitted);
      if (choice.finished === null) next.push({ parent, token });
    }
    this.#running = present.filter(({ finished }) => finished === null);
    return { emitted, next };
  }

  /** The next token of a choice; appended to it, and to what is emitted, unless it ends it. */
  #sample(choice: SampledChoice, logits: Float32Array, emitted: ChoiceTokens[]): number {
    const { tokens } = choice;
    const logprobs = logprobsOf(logits, this.#config);
    applyLogitsProcessors(logits, this.#config, {
      tokenIds: [...this.#promptIds, ...tokens],
      generated: tokens.length,
      eosIds: this.#eosIds,
    });
    const token = sampleToken(logits, this.#config, choice.random);
    const isEos = this.#eosIds.includes(token);
    if (!isEos) {
      tokens.push(token);
      const scored = logprobs(token);
      const entry = scored === undefined ? { id: token } : { id: token, scored };
      emitted.push({ choice: choice.choice, tokens: [entry] });
    }
    if (isEos) choice.finished = { finishReason: 'stop', completionTokens: tokens.length };
    else if (tokens.length >= this.#config.max_tokens) {
      choice.finished = { finishReason: 'length', completionTokens: tokens.length };
    }
    return token;
  }
}
