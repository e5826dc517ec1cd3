/** Drives an engine without its thread: requests by number, and the events of each. */
import { Engine } from '@blip2/gpu-worker/engine/engine';
import type { EngineModels } from '@blip2/gpu-worker/engine/models/load-models';
import type { Caller, EngineOptions, JobEvent } from '@blip2/gpu-worker/engine/protocol';
import { GenerationConfig } from '@blip2/shared/wire';
import { expect } from 'vitest';

/** Settings under the names that transformers gives them. */
export type Setting = Record<string, number | string | boolean>;

export type Reply = { texts: number[][]; scores: (number | undefined)[]; ends: string[] };

export class EngineDriver {
  readonly engine: Engine;
  readonly #events = new Map<number, JobEvent[]>();
  /** Requests in the order in which they ended. */
  readonly ended: number[] = [];

  constructor(models: EngineModels, options: EngineOptions) {
    this.engine = new Engine(models, options, (id, event) => {
      this.#events.set(id, [...this.eventsOf(id), event]);
      if (event.type === 'done') this.ended.push(id);
    });
  }

  /** @param values query embeddings, float32 [queries, hidden] */
  submit(
    id: number,
    values: Float32Array,
    inputIds: number[],
    setting: Setting,
    caller: Caller = { client: '', priority: 'interactive' },
  ): void {
    const { max_new_tokens, min_new_tokens, num_return_sequences, ...rest } = setting;
    const config = GenerationConfig.parse({
      max_tokens: max_new_tokens,
      min_tokens: min_new_tokens,
      n: num_return_sequences,
      ...rest,
    });
    const source = { kind: 'embeddings', values } as const;
    this.engine.submit(id, { kind: 'generate', source, inputIds, config }, { caller });
  }

  async finish(): Promise<void> {
    while (await this.engine.advance());
  }

  eventsOf(id: number): readonly JobEvent[] {
    return this.#events.get(id) ?? [];
  }

  replyOf(id: number): Reply {
    const events = this.eventsOf(id);
    const done = events.at(-1);
    if (done?.type !== 'done') throw new Error(`ended with ${JSON.stringify(done)}`);
    const texts: number[][] = done.choices.map(() => []);
    for (const event of events) {
      if (event.type === 'tokens') texts[event.choice]!.push(...event.tokens.map((one) => one.id));
    }
    expect(texts.map((text) => text.length)).toEqual(
      done.choices.map(({ completionTokens }) => completionTokens),
    );
    return {
      texts,
      scores: done.choices.map(({ score }) => score),
      ends: done.choices.map(({ finishReason }) => finishReason),
    };
  }
}
