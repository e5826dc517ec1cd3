/** An engine over a decoder without a model: jobs by number, and the events of each. */
import { GenerationConfig } from '@blip2/shared/wire';
import { Tensor } from 'onnxruntime-node';
import { vi } from 'vitest';
import { Engine } from '../engine.ts';
import type { EngineModels } from '../models/load-models.ts';
import type { EngineOptions, JobEvent, Pixels, SubmitOptions } from '../protocol.ts';
import type { EngineStats } from '../stats.ts';
import { FakeDecoder } from './fake-decoder.ts';

export type Generation = {
  ids?: number[];
  config?: Partial<GenerationConfig>;
  source?: Pixels;
  options?: SubmitOptions;
};

/** Ends at its length, not at an end token. */
export const exactly = (tokens: number) => ({ max_tokens: tokens, min_tokens: tokens });

export class EngineSetup {
  readonly decoder = new FakeDecoder();
  readonly engine: Engine;
  readonly events: { id: number; event: JobEvent }[] = [];
  readonly stats: EngineStats[] = [];
  /** Gets each event before it is recorded; where it throws, the event is not delivered. */
  deliver: (id: number, event: JobEvent) => void = () => {};
  readonly encode = vi.fn(async (pixels: Float32Array) => new Tensor('float32', pixels, [1, 2]));

  /**
   * @param now milliseconds; by default each pass and each image takes one, however busy the machine is: whose turn it is depends on
   *   what the work of others took
   */
  constructor(
    options: Partial<EngineOptions> = {},
    others: Partial<EngineModels> = {},
    now = () => this.decoder.batches.length + this.encode.mock.calls.length,
  ) {
    const release = async () => {};
    const models: EngineModels = {
      decoder: this.decoder,
      imageEncoder: { generate: { encode: this.encode, release } },
      qformer: {
        query: async ({ data }) => (data as Float32Array).slice(),
        readsInstruction: false,
        release,
      },
      embeddingTypes: { generate: 'float32' },
      ...others,
    };
    this.engine = new Engine(
      models,
      {
        manifest: { eos_token_ids: [0] },
        maxSlots: 8,
        prefillChunkTokens: 64,
        prefixCacheBytes: 0,
        ...options,
      } as EngineOptions,
      (id, event) => {
        this.deliver(id, event);
        this.events.push({ id, event });
      },
      (stats) => this.stats.push(stats),
      now,
    );
  }

  submit(id: number, { ids = [2, 3], config, source, options }: Generation = {}): void {
    const embeddings = { kind: 'embeddings', values: Float32Array.of(id, -id) } as const;
    this.engine.submit(
      id,
      {
        kind: 'generate',
        source: source ?? embeddings,
        inputIds: ids,
        config: GenerationConfig.parse({ ...exactly(6), ...config }),
      },
      options ?? { caller: { client: '', priority: 'interactive' } },
    );
  }

  async finish(): Promise<void> {
    while (await this.engine.advance());
  }

  of(id: number): JobEvent[] {
    return this.events.filter((one) => one.id === id).map(({ event }) => event);
  }

  /** Token ids of a job's choices. */
  tokensOf(id: number): number[][] {
    const choices: number[][] = [];
    for (const event of this.of(id)) {
      if (event.type !== 'tokens') continue;
      choices[event.choice] ??= [];
      choices[event.choice]?.push(...event.tokens.map((token) => token.id));
    }
    return choices;
  }

  /** Jobs in the order in which they ended. */
  get ended(): number[] {
    return this.events.filter(({ event }) => event.type === 'done').map(({ id }) => id);
  }
}

/** The tokens of a job that is alone in an engine. */
export async function alone(id: number, request?: Generation): Promise<number[][]> {
  const setup = new EngineSetup();
  setup.submit(id, request);
  await setup.finish();
  return setup.tokensOf(id);
}
