/** Passes over a decoder without a model that fail, as a whole or for one of their requests. */
import { GenerationConfig } from '@blip2/shared/wire';
import { describe, expect, it, vi } from 'vitest';
import type { Caller, Job } from './protocol.ts';
import { alone, EngineSetup, type Generation } from './testing/engine-setup.ts';

const interactive: Caller = { client: '', priority: 'interactive' };

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
        slug: 'computation-failed',
        error: {
          cause: { name: 'RangeError', message: 'no room', cause: { message: 'the device' } },
        },
      },
    ]);
    expect(setup.of(3)).toMatchObject([{ error: { cause: { message: 'no room' } } }]);
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
      expect(setup.of(id)).toMatchObject([
        { slug: 'computation-failed', error: { cause: { message: '602 positions do not fit' } } },
      ]);
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

describe('a pass that one of its requests makes fail', () => {
  /** Ids with which the decoder throws, whoever else is in the batch. */
  const poison = 100;
  const isPoisoned = (attended: readonly number[], from: number) =>
    attended.includes(poison) && attended.length > from;

  function start(from: number): EngineSetup {
    const setup = new EngineSetup({ maxSlots: 16, prefixCacheBytes: 1000 });
    setup.decoder.adjust = (_, attended) => {
      if (isPoisoned(attended, from)) throw new Error('invalid argument at 0x7ffd');
    };
    return setup;
  }

  it.each<[string, Generation, number]>([
    ['in its prefill', { ids: [2, poison] }, 0],
    ['in a step', { ids: [2, poison] }, 6],
    ['in a step, as several samples', { ids: [2, poison], config: { n: 4, temperature: 1 } }, 6],
    ['in a step, as a beam search', { ids: [2, poison], config: { num_beams: 4 } }, 6],
  ])('%s ends that one alone, and the others get the same tokens', async (_name, request, from) => {
    const others: Generation[] = [
      {},
      { config: { num_beams: 3, n: 2 } },
      { config: { n: 3, temperature: 1, seed: 4 } },
      { ids: [2, 3, 9] },
    ];
    const setup = start(from);
    for (const [id, other] of others.entries()) {
      if (id === 2) setup.submit(9, request);
      setup.submit(id, other);
    }
    await setup.finish();
    const last = setup.of(9).at(-1);
    expect(last).toMatchObject({ type: 'failed', slug: 'computation-failed' });
    expect(last).toMatchObject({ error: { cause: { message: 'invalid argument at 0x7ffd' } } });
    expect((last as { error: { message: string } }).error.message).not.toContain('0x');
    for (const [id, other] of others.entries()) {
      expect(setup.tokensOf(id), String(id)).toEqual(await alone(id, other));
    }
    expect(setup.stats.at(-1)).toMatchObject({ running: 0, waiting: { prefill: 0 } });
  });

  it('is run again once for each of them, and no more', async () => {
    const setup = start(0);
    for (const id of [1, 2, 3]) setup.submit(id, { ids: id === 2 ? [poison] : [2] });
    await setup.engine.advance();
    expect(setup.decoder.batches.map(({ rows }) => rows.length)).toEqual([3, 1, 1, 1]);
    await setup.engine.advance();
    expect(setup.decoder.batches).toHaveLength(5);
  });

  it('only together with others goes on, request by request', async () => {
    const setup = new EngineSetup();
    setup.decoder.gate = async ({ kind, rows }) => {
      const computed = rows.filter((row) => row !== null);
      if (kind === 'decode' && computed.length > 1) throw new RangeError('bad allocation');
    };
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.finish();
    for (const id of [1, 2, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
  });

  it('after its tokens have left ends all of it: none are sent twice', async () => {
    const setup = new EngineSetup();
    for (const id of [1, 2]) setup.submit(id);
    vi.spyOn(setup.decoder.cache, 'put').mockRejectedValueOnce(new Error('the device is gone'));
    await setup.finish();
    for (const id of [1, 2]) {
      expect(setup.of(id).map(({ type }) => type)).toEqual(['tokens', 'failed']);
    }
    setup.submit(3);
    await setup.finish();
    expect(setup.tokensOf(3)).toEqual(await alone(3));
  });

  it('as its prompt cannot be cached ends that one alone', async () => {
    const setup = new EngineSetup({ prefixCacheBytes: 1000 });
    const { cache } = setup.decoder;
    const slice = cache.slice.bind(cache);
    vi.spyOn(cache, 'slice').mockImplementation((rows, row, positions) => {
      if (row === 1) throw new RangeError('Array buffer allocation failed');
      return slice(rows, row, positions);
    });
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.finish();
    expect(setup.of(2).at(-1)).toMatchObject({ error: { cause: { name: 'RangeError' } } });
    for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
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
      { type: 'failed', error: { cause: { message: 'the stream is closed' } } },
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
    expect(setup.of(2).at(-1)).toMatchObject({
      type: 'failed',
      error: { cause: { name: 'RangeError' } },
    });
    for (const id of [1, 3]) expect(setup.tokensOf(id)).toEqual(await alone(id));
    expect(setup.stats.at(-1)).toMatchObject({ running: 0 });
  });
});
