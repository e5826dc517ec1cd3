import { describe, expect, it, vi } from 'vitest';
import type { Caller, Job, Pixels } from './protocol.ts';
import { alone, EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';

const interactive: Caller = { client: '', priority: 'interactive' };
const background: Caller = { client: '', priority: 'background' };

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
    const setup = new EngineSetup({ maxSlots: 1, reserveSlots: 0 });
    for (const id of [1, 2, 3]) setup.submit(id);
    await setup.engine.advance();
    setup.engine.cancel(2);
    await setup.finish();
    expect(setup.of(2)).toEqual([]);
    expect(setup.ended).toEqual([1, 3]);
  });
});

describe('a job of texts that is canceled', () => {
  it('ends after the few that are being embedded', async () => {
    const canceled = Promise.withResolvers<void>();
    const textEmbeddings = vi.fn(async (texts: readonly unknown[]) => {
      await canceled.promise;
      return texts.map(() => Float32Array.of(1, 0));
    });
    const unused = () => Promise.reject(new Error('not for texts'));
    const retrieval = {
      imageEmbeddings: unused,
      textEmbeddings,
      matchProbabilities: unused,
      release: async () => {},
    };
    const setup = new EngineSetup({}, { retrieval });
    const job: Job = { kind: 'embed-texts', texts: Array.from({ length: 64 }, () => [2, 3]) };
    setup.engine.submit(1, job, { caller: interactive });
    const step = setup.engine.advance();
    setup.engine.cancel(1);
    canceled.resolve();
    await step;
    await setup.finish();
    expect(textEmbeddings).toHaveBeenCalledTimes(1);
    expect(setup.of(1)).toEqual([]);
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

  it('of more sequences than there are slots fail at once, and block nobody', async () => {
    const setup = new EngineSetup({ maxSlots: 2 });
    setup.submit(1, { config: { num_beams: 3 } });
    setup.submit(2);
    await setup.finish();
    expect(setup.of(1)).toMatchObject([{ type: 'failed', slug: 'computation-failed' }]);
    expect(setup.tokensOf(2)).toEqual(await alone(2));
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
      { slug: 'computation-failed', error: { cause: { message: 'the image encoder failed' } } },
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

describe('background work while others ask', () => {
  it('rests after each action, and not when somebody asks', async () => {
    const setup = new EngineSetup({ backgroundShare: 0.001 });
    setup.submit(1, { config: exactly(1), options: { caller: interactive } });
    await setup.finish();
    setup.submit(2, { config: exactly(20), options: { caller: background } });
    await setup.finish();
    expect(setup.ended).toEqual([1]);
    expect(setup.engine.restMs).toBeGreaterThan(100);
    setup.submit(3, { config: exactly(3), options: { caller: interactive } });
    await setup.finish();
    expect(setup.ended).toContain(3);
    expect(setup.engine.restMs).toBeGreaterThan(100);
  });

  it('lets the image of somebody go first that is still being decoded', async () => {
    const setup = new EngineSetup({ backgroundShare: 0.5 });
    setup.submit(1, { config: exactly(1), options: { caller: background } });
    setup.engine.expect();
    expect(await setup.engine.advance()).toBe(false);
    expect(setup.engine.restMs).toBeGreaterThan(0);
    setup.submit(2, { config: exactly(1), options: { caller: interactive } });
    await setup.finish();
    expect(setup.ended).toEqual([2]);
  });

  it('goes on at once where all of the time is its own', async () => {
    const setup = new EngineSetup({ backgroundShare: 1 });
    setup.submit(1, { config: exactly(1), options: { caller: interactive } });
    setup.submit(2, { config: exactly(3), options: { caller: background } });
    await setup.finish();
    expect(setup.ended).toEqual([1, 2]);
    expect(setup.engine.restMs).toBeNull();
  });
});
