/** The engine loop over a decoder without a model, whose passes wait or fail as a test scripts them. */
import { GenerationConfig } from '@blip2/shared/wire';
import { describe, expect, it, vi } from 'vitest';
import type { Caller, Job, Pixels } from './protocol.ts';
import { EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';

const interactive: Caller = { client: '', priority: 'interactive' };
const background: Caller = { client: '', priority: 'background' };

/** The tokens of a job that is alone in an engine. */
async function alone(id: number, request?: Generation): Promise<number[][]> {
  const setup = new EngineSetup();
  setup.submit(id, request);
  await setup.finish();
  return setup.tokensOf(id);
}

describe('a pass of the decoder', () => {
  it('emits its tokens before keys and values are written, and the end after', async () => {
    const setup = new EngineSetup();
    const { cache } = setup.decoder;
    const put = cache.put.bind(cache);
    const log: string[] = [];
    vi.spyOn(cache, 'put').mockImplementation(async (...args) => {
      log.push(...setup.events.splice(0).map(({ event }) => event.type), 'written');
      await put(...args);
    });
    setup.submit(1, { config: exactly(2) });
    await setup.finish();
    log.push(...setup.events.map(({ event }) => event.type));
    expect(log).toEqual(['tokens', 'written', 'tokens', 'written', 'done']);
  });

  it('reads a long prompt chunk by chunk, with a step of the others in between', async () => {
    const ids = Array.from({ length: 10 }, (_, i) => 2 + i);
    const setup = new EngineSetup({ prefillChunkTokens: 4 });
    setup.submit(1);
    await setup.engine.advance();
    setup.submit(2, { ids });
    await setup.finish();
    expect(setup.decoder.batches.map(({ kind }) => kind).slice(0, 7)).toEqual([
      ...['prefill', 'decode', 'prefill', 'decode', 'prefill', 'decode', 'prefill'],
    ]);
    expect(setup.tokensOf(1)).toEqual(await alone(1));
    expect(setup.tokensOf(2)).toEqual(await alone(2, { ids }));
  });

  it('gives every request the tokens that it gets alone, however sequences fork, move and end', async () => {
    const requests: Generation[] = [
      { config: { num_beams: 3, n: 2, ...exactly(7) } },
      { config: { temperature: 1.5, n: 3, seed: 5, ...exactly(4) } },
      { ids: [2, 9, 9], config: exactly(11) },
      { config: { temperature: 1, n: 2, seed: 8, max_tokens: 9, min_tokens: 0 } },
      { config: { num_beams: 4, max_tokens: 12, min_tokens: 0 } },
      { ids: [5], config: exactly(1) },
    ];
    const setup = new EngineSetup({ prefillChunkTokens: 2, prefixCacheBytes: 1000 });
    for (const [id, request] of requests.entries()) setup.submit(id, request);
    await setup.finish();
    expect(setup.ended.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    for (const [id, request] of requests.entries()) {
      expect(setup.tokensOf(id), String(id)).toEqual(await alone(id, request));
    }
  });
});

describe('a job that is canceled', () => {
  it('during a step ends after it, and does not change the others', async () => {
    const setup = new EngineSetup();
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.engine.advance();
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    setup.decoder.gate = () => opened;
    const step = setup.engine.advance();
    setup.engine.cancel(2);
    open();
    await step;
    const until = setup.of(2).length;
    await setup.finish();
    expect(setup.of(2)).toHaveLength(until);
    expect(setup.ended).toEqual([1, 3]);
    for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
    expect(setup.stats.at(-1)).toMatchObject({ done: null, running: 0 });
  });

  it('while it waits for a slot never gets one', async () => {
    const setup = new EngineSetup({ maxSlots: 1 });
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.engine.advance();
    setup.engine.cancel(2);
    await setup.finish();
    expect(setup.of(2)).toEqual([]);
    expect(setup.ended).toEqual([1, 3]);
  });
});

describe('a pass that fails', () => {
  it('ends the requests in it, and only those', async () => {
    const setup = new EngineSetup();
    setup.submit(1);
    await setup.engine.advance();
    setup.submit(2, { options: { caller: interactive, requestId: 'r-2' } });
    setup.submit(3);
    setup.decoder.gate = async ({ kind }) => {
      if (kind === 'prefill') throw new RangeError('no room', { cause: new Error('the device') });
    };
    await setup.engine.advance();
    await setup.engine.advance();
    expect(setup.of(2)).toMatchObject([
      {
        type: 'failed',
        requestId: 'r-2',
        error: { name: 'RangeError', message: 'no room', cause: { message: 'the device' } },
      },
    ]);
    expect(setup.of(3)).toMatchObject([{ type: 'failed', error: { message: 'no room' } }]);
    setup.decoder.gate = async () => {};
    setup.submit(4);
    await setup.finish();
    for (const id of [1, 4]) expect(setup.tokensOf(id)).toEqual(await alone(id));
  });

  it('because its prompts do not fit frees their slots, and later requests are served', async () => {
    const setup = new EngineSetup({ prefillChunkTokens: 2000 });
    setup.submit(1);
    await setup.engine.advance();
    const ids = Array.from({ length: 600 }, (_, i) => 2 + (i % 20));
    for (const id of [2, 3]) setup.submit(id, { ids });
    await setup.finish();
    for (const id of [2, 3]) {
      expect(setup.of(id)).toMatchObject([{ error: { message: '602 positions do not fit' } }]);
    }
    expect(setup.tokensOf(1)).toEqual(await alone(1));
  });

  it('in a step does not end waiting requests, nor those whose prompt is computed in part', async () => {
    const setup = new EngineSetup({ maxSlots: 3, prefillChunkTokens: 2 });
    const ids = [2, 3, 4, 5];
    for (const id of [1, 2]) setup.submit(id);
    setup.submit(3, { ids });
    setup.submit(4, { ids: [9] });
    for (let i = 0; i < 5; i++) await setup.engine.advance();
    // The first chunk of the third prompt is read, the fourth waits.
    expect(setup.decoder.batches.map(({ kind }) => kind)).toEqual([
      ...['prefill', 'decode', 'prefill', 'decode', 'prefill'],
    ]);
    setup.decoder.gate = () => Promise.reject(new Error('the driver is gone'));
    await setup.engine.advance();
    setup.decoder.gate = async () => {};
    await setup.finish();
    expect(setup.of(1).at(-1)).toMatchObject({ type: 'failed' });
    expect(setup.of(2).at(-1)).toMatchObject({ type: 'failed' });
    expect(setup.tokensOf(3)).toEqual(await alone(3, { ids }));
    expect(setup.tokensOf(4)).toEqual(await alone(4, { ids: [9] }));
  });
});

describe('a request that fails in a pass with others', () => {
  /** Ids that make the decoder compute something else than finite logits. */
  const nan = [2, 100];
  function start(): EngineSetup {
    const setup = new EngineSetup({ maxSlots: 12, prefixCacheBytes: 1000 });
    setup.decoder.adjust = (logits, attended) => {
      if (attended.includes(100)) logits.fill(Number.NaN, 9, 10);
      // While it runs, behind its first tokens.
      if (attended.includes(101) && attended.length > 6) logits.fill(Number.POSITIVE_INFINITY);
    };
    return setup;
  }
  const failed = { type: 'failed', slug: 'computation-failed' };

  it.each<[string, Generation]>([
    ['in its prefill', { ids: nan }],
    ['in the first chunk of its prompt', { ids: [...nan, ...Array<number>(90).fill(3)] }],
    ['in a step', { ids: [2, 101] }],
    ['as several samples', { ids: [2, 101], config: { n: 4, temperature: 1 } }],
    ['as a beam search', { ids: [2, 101], config: { num_beams: 4 } }],
  ])('%s fails alone, and its slots are free', async (_name, request) => {
    const setup = start();
    setup.submit(1);
    setup.submit(2, request);
    setup.submit(3, { config: { num_beams: 2 } });
    await setup.finish();
    expect(setup.of(2).at(-1)).toMatchObject(failed);
    expect(setup.ended.toSorted()).toEqual([1, 3]);
    expect(setup.tokensOf(1)).toEqual(await alone(1));
    expect(setup.tokensOf(3)).toEqual(await alone(3, { config: { num_beams: 2 } }));
    // All twelve slots can be had again.
    for (const id of [4, 5, 6]) setup.submit(id, { config: { num_beams: 4 } });
    await setup.engine.advance();
    expect(setup.stats.at(-1)).toMatchObject({ running: 12, waiting: { prefill: 0 } });
    await setup.finish();
    expect(setup.stats.at(-1)).toMatchObject({ running: 0 });
  });

  it('leaves nothing in the prefix cache', async () => {
    const setup = start();
    setup.submit(1, { ids: nan });
    await setup.finish();
    expect(setup.stats.at(-1)?.memory.prefixes).toMatchObject({ bytes: 0 });
  });

  it('because its image has no finite numbers fails although its text is computed behind that', async () => {
    const setup = start();
    setup.decoder.adjust = (logits, attended) => {
      if (attended.length === 2 && attended[0] === 7) logits.fill(Number.NaN);
    };
    const source = { kind: 'embeddings', values: Float32Array.of(7, -7) } as const;
    const config = GenerationConfig.parse({ max_tokens: 3 });
    // Two prompts about one image: it is computed apart.
    for (const id of [1, 2]) {
      const job: Job = { kind: 'generate', source, inputIds: [2, id], config };
      setup.engine.submit(id, job, { caller: interactive });
    }
    setup.submit(3);
    await setup.finish();
    for (const id of [1, 2]) expect(setup.of(id)).toMatchObject([failed]);
    expect(setup.tokensOf(3)).toEqual(await alone(3));
    const { prefixes } = setup.stats.at(-1)!.memory;
    setup.submit(4, { ids: [2, 9] });
    await setup.finish();
    expect(setup.ended).toEqual([3, 4]);
    expect(prefixes!.bytes).toBeGreaterThan(0);
  });

  it('because an event of it cannot be delivered does so alone', async () => {
    const setup = start();
    setup.deliver = (id, { type }) => {
      if (id === 2 && type === 'tokens') throw new TypeError('the stream is closed');
    };
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.finish();
    expect(setup.of(2)).toMatchObject([
      { type: 'failed', error: { message: 'the stream is closed' } },
    ]);
    for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
  });

  it('because no event of it can be delivered does so alone, whatever the event is', async () => {
    for (const type of ['tokens', 'done']) {
      const setup = start();
      setup.deliver = (id, event) => {
        if (id === 2 && (event.type === type || event.type === 'failed')) throw new Error('gone');
      };
      for (const id of [1, 2, 3]) setup.submit(id);
      await setup.finish();
      for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
      expect(setup.stats.at(-1)).toMatchObject({ running: 0 });
    }
  });

  it('because it cannot begin does so alone', async () => {
    const setup = start();
    setup.submit(1);
    const config = GenerationConfig.parse({ max_tokens: 3 });
    const source = { kind: 'embeddings', values: Float32Array.of(Number.NaN, 1) } as const;
    const job: Job = { kind: 'generate', source, inputIds: [2], config };
    setup.engine.submit(2, job, { caller: interactive });
    await setup.finish();
    expect(setup.of(2)).toMatchObject([failed]);
    expect(setup.tokensOf(1)).toEqual(await alone(1));
  });

  it('because no slot has room for its samples does so alone', async () => {
    const setup = start();
    vi.spyOn(setup.decoder, 'copySlot').mockImplementationOnce(() => {
      throw new RangeError('Array buffer allocation failed');
    });
    setup.submit(1);
    setup.submit(2, { config: { n: 3, temperature: 1 } });
    setup.submit(3);
    await setup.finish();
    expect(setup.of(2).at(-1)).toMatchObject({ type: 'failed', error: { name: 'RangeError' } });
    for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
    expect(setup.stats.at(-1)).toMatchObject({ running: 0 });
  });
});

describe('requests that wait', () => {
  it('are served before background work that came earlier', async () => {
    const setup = new EngineSetup({ maxSlots: 2 });
    for (const id of [1, 2, 3]) setup.submit(id, { options: { caller: background } });
    await setup.engine.advance();
    // Background work has left a slot for the next request.
    expect(setup.stats.at(-1)).toMatchObject({ running: 1, waiting: { prefill: 2 } });
    setup.submit(4, { config: exactly(3) });
    await setup.finish();
    expect(setup.ended).toEqual([4, 1, 2, 3]);
  });

  it('find the memory of an earlier burst freed once the engine was idle', async () => {
    const setup = new EngineSetup();
    setup.submit(1);
    await setup.finish();
    expect(setup.decoder.wasReset).toBe(true);
    expect(await setup.engine.advance()).toBe(false);
    expect(setup.stats.filter(({ done }) => done === null)).toHaveLength(1);
  });
});

describe('requests with an image', () => {
  const pixels = (key: string): Pixels => ({
    kind: 'pixels',
    key,
    pixels: Float32Array.of(key.length, -key.length),
  });

  it('generate the same tokens as from its query embeddings', async () => {
    const setup = new EngineSetup();
    setup.submit(7, { source: pixels('x'.repeat(9)) });
    await setup.finish();
    expect(setup.of(7).map(({ type }) => type)).toEqual([
      'embeddings',
      ...Array<string>(6).fill('tokens'),
      'done',
    ]);
    expect(setup.tokensOf(7)).toEqual(await alone(9));
  });

  it('fail when its encode fails, and no others do', async () => {
    const setup = new EngineSetup();
    setup.submit(1);
    await setup.engine.advance();
    setup.submit(2, { source: pixels('bad') });
    setup.submit(3, { source: pixels('good') });
    setup.encode.mockRejectedValueOnce(new Error('the image encoder failed'));
    await setup.finish();
    expect(setup.of(2)).toMatchObject([
      { type: 'failed', error: { message: 'the image encoder failed' } },
    ]);
    expect(setup.ended.toSorted()).toEqual([1, 3]);
  });

  it('whose embeddings are not finite numbers fail before they are emitted', async () => {
    const setup = new EngineSetup();
    setup.submit(1, { source: { ...pixels('nan'), pixels: Float32Array.of(1, Number.NaN) } });
    setup.engine.submit(
      2,
      {
        kind: 'embed',
        embedding: 'query',
        source: { kind: 'pixels', key: 'inf', pixels: Float32Array.of(1 / 0, 1) },
      },
      { caller: interactive },
    );
    setup.submit(3, { source: pixels('good') });
    await setup.finish();
    for (const id of [1, 2]) {
      expect(setup.of(id)).toMatchObject([{ type: 'failed', slug: 'computation-failed' }]);
    }
    expect(setup.ended).toEqual([3]);
  });

  it('continue when the work on their image fails for another request after they were served', async () => {
    const failing = async () => {
      throw new Error('the retrieval model failed');
    };
    const retrieval = {
      imageEmbeddings: failing,
      textEmbeddings: failing,
      matchProbabilities: failing,
      release: async () => {},
    };
    const setup = new EngineSetup({}, { retrieval });
    setup.submit(1, { source: pixels('a') });
    const match: Job = { kind: 'match', source: pixels('a'), texts: [[2]] };
    setup.engine.submit(2, match, { caller: interactive });
    await setup.finish();
    expect(setup.ended).toEqual([1]);
    expect(setup.of(2)).toMatchObject([{ type: 'failed' }]);
    expect(setup.encode).toHaveBeenCalledTimes(1);
  });
});
