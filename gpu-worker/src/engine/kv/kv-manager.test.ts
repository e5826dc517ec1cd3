import { afterEach, describe, expect, it, vi } from 'vitest';
import { Batch } from '../batch.ts';
import type { ForwardBatch, Prompt } from '../models/decoder.ts';
import { FakeDecoder, logitsOf, promptAbout } from '../testing/fake-decoder.ts';
import { groupOf } from '../testing/groups.ts';
import { KvManager } from './kv-manager.ts';
import { PrefixCache } from './prefix-cache.ts';

/** Bytes of a position: a key and a value. */
const POSITION = 8;

function start({ chunk = 64, positions = 1000, isCausal = true } = {}) {
  const decoder = new FakeDecoder({ isCausal });
  const kv = new KvManager(decoder, {
    prefillChunkTokens: chunk,
    prefixCacheBytes: positions * POSITION,
  });
  const pass = async (planned: ForwardBatch): Promise<Float32Array[]> => {
    const { batch } = await kv.restorePrefixes(planned);
    using out = await decoder.forward(batch);
    const logits = out.logits.map((row) => row.slice());
    await out.commit();
    await kv.storePrefixes(batch, out.keysAndValues);
    return logits;
  };
  /** Whole prompts into the slots from 0 on. */
  const prefill = (...prompts: Prompt[]) => {
    const rows = prompts.map((prompt) => ({
      prompt,
      positions: { start: 0, end: 2 + prompt.ids.length },
    }));
    return pass({ kind: 'prefill', firstSlot: 0, rows });
  };
  /** Positions of each row of the passes so far. */
  const computed = () =>
    decoder.batches.map((batch) =>
      batch.kind === 'prefill'
        ? batch.rows.map(({ positions }) => [positions.start, positions.end])
        : [],
    );
  return { decoder, kv, prefill, pass, computed };
}

/** What a model gives that reads the whole prompt at once. */
const whole = ({ queryEmbeddings, ids }: Prompt) => logitsOf([...queryEmbeddings, ...ids]);

const waitingFor = (prompt: Prompt) => ({
  prompt,
  firstChunk: { end: 0, computed: 0, computedText: 0 },
});

afterEach(() => vi.restoreAllMocks());

describe('the first chunk of a prompt', () => {
  it.each([
    ['is all of a short one', [2, 3], { end: 4, computed: 4, computedText: 2 }],
    [
      'has the image and so many text positions of a long one',
      [2, 3, 4, 5, 6],
      { end: 5, computed: 5, computedText: 3 },
    ],
  ])('%s', (_name, ids, expected) => {
    const { kv } = start({ chunk: 3 });
    const waiting = waitingFor(promptAbout(1, ...ids));
    kv.track(waiting);
    expect(waiting.firstChunk).toEqual(expected);
  });

  it('ends later, and computes less, where the beginning of the prompt is cached', async () => {
    const { kv, prefill } = start({ chunk: 3 });
    await prefill(promptAbout(1, 2, 3, 4));
    const waiting = waitingFor(promptAbout(1, 2, 3, 4, 5, 6, 7, 8));
    kv.track(waiting);
    expect(waiting.firstChunk).toEqual({ end: 8, computed: 3, computedText: 3 });
  });

  it('always computes the last id, whose logits choose the first token', async () => {
    const { kv, prefill } = start();
    const prompt = promptAbout(1, 2, 3, 4);
    await prefill(prompt);
    const waiting = waitingFor(prompt);
    kv.track(waiting);
    expect(waiting.firstChunk).toEqual({ end: 5, computed: 1, computedText: 1 });
  });

  it('is updated when the cache changes while the prompt waits, and no longer', async () => {
    const { kv, prefill } = start({ positions: 6 });
    const waiting = waitingFor(promptAbout(1, 2, 3, 4, 5));
    kv.track(waiting);
    expect(waiting.firstChunk.computed).toBe(6);
    await prefill(promptAbout(1, 2, 3));
    expect(waiting.firstChunk.computed).toBe(2);
    // Another image evicts this one.
    await prefill(promptAbout(2, 2, 3, 4));
    expect(waiting.firstChunk.computed).toBe(6);
    kv.untrack(waiting);
    await prefill(promptAbout(1, 2, 3));
    expect(waiting.firstChunk.computed).toBe(6);
  });

  it('is looked up when the prompt joins, and again only when the cache of its image changes', async () => {
    const { kv, prefill } = start();
    const peek = vi.spyOn(PrefixCache.prototype, 'peek');
    for (const image of [1, 1, 2]) kv.track(waitingFor(promptAbout(image, 2, 3, 4)));
    expect(peek).toHaveBeenCalledTimes(3);
    await prefill(promptAbout(3, 2, 3));
    expect(peek).toHaveBeenCalledTimes(3);
    await prefill(promptAbout(2, 2, 3));
    expect(peek).toHaveBeenCalledTimes(4);
  });
});

describe('a prefill', () => {
  it('computes the uncached positions in one pass, image and text', async () => {
    const { prefill, computed } = start();
    const prompts = [promptAbout(1, 2, 3), promptAbout(2, 4, 5, 6)];
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
    expect(computed()).toEqual([
      [
        [0, 4],
        [0, 5],
      ],
    ]);
  });

  it('computes an image once for all prompts about it', async () => {
    const { prefill, computed } = start();
    const prompts = [promptAbout(1, 2, 3), promptAbout(2, 4), promptAbout(1, 5, 6)];
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
    expect(computed()).toEqual([
      [
        [0, 2],
        [0, 2],
      ],
      [
        [2, 4],
        [2, 3],
        [2, 4],
      ],
    ]);
  });

  it('computes only what follows a cached beginning, with the logits of the whole prompt', async () => {
    const { kv, prefill, computed } = start();
    await prefill(promptAbout(1, 2, 3, 4));
    const prompts = [promptAbout(1, 2, 3, 4, 5, 6), promptAbout(1, 2, 9), promptAbout(2, 2, 3)];
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
    expect(computed().slice(1)).toEqual([
      [[0, 2]],
      [
        [5, 7],
        [3, 4],
        [2, 4],
      ],
    ]);
    expect(kv.memory.prefixes).toMatchObject({ hits: 1, misses: 2, textPositions: 4 });
  });

  it('restores a cached image before a new one evicts it', async () => {
    const { prefill } = start({ positions: 3 });
    await prefill(promptAbout(1, 2));
    const prompts = [promptAbout(2, 2), promptAbout(1, 3), promptAbout(2, 4), promptAbout(1, 5)];
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
  });

  it('of a text at the end of the context, beside one that is longer, fits its slot', async () => {
    const { decoder, prefill, computed } = start();
    const { maxPositions } = decoder.cache;
    // All but its last two ids are cached.
    const long = Array.from({ length: maxPositions - 5 }, (_, i) => 2 + (i % 29));
    await prefill(promptAbout(1, ...long));
    const prompts = [
      promptAbout(1, ...long, 7, 8),
      promptAbout(1, ...Array.from({ length: 40 }, (_, i) => 9 + (i % 5))),
    ];
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
    expect(computed().at(-1)).toEqual([
      [maxPositions - 40, maxPositions - 1],
      [2, 42],
    ]);
  });

  it('caches nothing without a budget', async () => {
    const { kv, prefill, computed } = start({ positions: 0 });
    const prompt = promptAbout(1, 2, 3);
    for (let i = 0; i < 2; i++) expect(await prefill(prompt)).toEqual([whole(prompt)]);
    expect(computed()).toEqual([[[0, 4]], [[0, 4]]]);
    expect(kv.memory.prefixes).toMatchObject({ hits: 0, bytes: 0 });
  });

  it('of a decoder that attends both ways is one pass over the whole prompt, and never cached', async () => {
    const { kv, prefill, computed } = start({ isCausal: false, chunk: 1 });
    const prompt = promptAbout(1, 2, 3, 4);
    const waiting = waitingFor(prompt);
    kv.track(waiting);
    expect(waiting.firstChunk).toEqual({ end: 5, computed: 5, computedText: 3 });
    await prefill(prompt, prompt);
    expect(computed()).toEqual([
      [
        [0, 5],
        [0, 5],
      ],
    ]);
    expect(kv.memory).not.toHaveProperty('prefixes');
  });
});

describe('a long prompt', () => {
  it('is computed chunk by chunk, each behind the positions of its slot', async () => {
    const { decoder, kv, pass, computed } = start({ chunk: 3 });
    const batch = new Batch(decoder);
    const prompt = promptAbout(1, 2, 3, 4, 5, 6, 7, 8, 9);
    const group = groupOf(1, prompt);
    kv.track(group);
    const sequence = batch.add(group);
    const unread: number[] = [];
    let logits: Float32Array[] = [];
    let planned = kv.firstChunks([sequence]);
    for (;;) {
      unread.push(sequence.unreadIds);
      logits = await pass(planned);
      kv.recordCommit(planned, [sequence]);
      if (sequence.isPrefilled) break;
      planned = kv.nextChunk(sequence);
    }
    expect(unread).toEqual([5, 2, 0]);
    expect(computed()).toEqual([[[0, 5]], [[5, 8]], [[8, 10]]]);
    expect(sequence.cachedPositions).toBe(10);
    expect(logits).toEqual([whole(prompt)]);
    kv.recordCommit({ kind: 'decode', rows: [sequence] }, [sequence]);
    expect(sequence.cachedPositions).toBe(11);
  });

  it('computed in chunks is cached whole', async () => {
    const { kv, pass } = start({ chunk: 2 });
    const prompt = promptAbout(1, 2, 3, 4, 5);
    for (const [first, end] of [
      [0, 4],
      [4, 6],
    ] as const) {
      const rows = [{ prompt, positions: { start: first, end } }];
      await pass({ kind: 'prefill', firstSlot: 0, rows });
    }
    const waiting = waitingFor(promptAbout(1, 2, 3, 4, 5, 6));
    kv.track(waiting);
    expect(waiting.firstChunk).toEqual({ end: 7, computed: 1, computedText: 1 });
  });
});

describe('a pass that fails', () => {
  it('while images are computed leaves nothing in the cache', async () => {
    const { decoder, kv, prefill } = start();
    decoder.gate = () => Promise.reject(new Error('no room'));
    const prompts = [promptAbout(1, 2), promptAbout(1, 3)];
    await expect(prefill(...prompts)).rejects.toThrow('no room');
    expect(kv.memory.prefixes).toMatchObject({ bytes: 0 });
    decoder.gate = async () => {};
    expect(await prefill(...prompts)).toEqual(prompts.map(whole));
  });
});
