/** The engine generates the texts of transformers' `generate`, under every setting (golden/make/generation_cases.py). */
import { readFileSync } from 'node:fs';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import type { Prompt } from '@blip2/gpu-worker/engine/models/decoder';
import { loadDecoder } from '@blip2/gpu-worker/engine/models/load-decoder';
import {
  type EngineModels,
  loadModels,
  releaseModels,
} from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import type { GeneratedToken } from '@blip2/shared/frames';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DecoderDriver } from '../../tools/eval/decoder-driver.ts';
import { type Golden, readGolden, rowOf } from '../../tools/eval/goldens.ts';
import { expectSame, maxDifference } from '../support/difference.ts';
import { EngineDriver, type Setting } from '../support/engine-driver.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Case = {
  checkpoint: string;
  image: number;
  prompt: number[];
  eos: number[];
  setting: Setting;
  texts: number[][];
  scores?: number[];
};

const CASES: Case[] = JSON.parse(
  readFileSync(new URL('golden/generation.json', import.meta.url), 'utf8'),
);

const bundles = temporaryFolder();
const loaded = new Map<string, { golden: Golden; options: EngineOptions; models: EngineModels }>();

beforeAll(async () => {
  for (const name of ['tied', 'untied', 't5']) {
    const golden = readGolden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const options: EngineOptions = {
      bundle,
      manifest: await readGenerativeManifest(bundle),
      executionProvider: PROVIDER,
      threads: 1,
      maxSlots: 8,
      prefillChunkTokens: 64,
      prefixCacheBytes: 2 ** 20,
    };
    loaded.set(name, { golden, options, models: await loadModels(options) });
  }
});
afterAll(async () => {
  for (const { models } of loaded.values()) await releaseModels(models);
});

/** An engine for one list of end tokens. */
function engineFor(checkpoint: string, eos: number[]) {
  const { golden, options, models } = loaded.get(checkpoint)!;
  const manifest = { ...options.manifest, eos_token_ids: eos };
  const driver = new EngineDriver(models, { ...options, manifest });
  const submit = (
    id: number,
    { image, prompt, setting }: Pick<Case, 'image' | 'prompt' | 'setting'>,
  ) => driver.submit(id, rowOf(golden.queryEmbeddings, image), prompt, setting);
  return { driver, submit };
}

async function openDecoder(options: EngineOptions): Promise<DecoderDriver> {
  return new DecoderDriver(await loadDecoder(options), options);
}

/** Positions that the first chunk of a prompt would compute. */
function computedOf({ kv }: DecoderDriver, prompt: Prompt): number {
  const waiting = { prompt, firstChunk: { end: 0, computed: 0, computedText: 0 } };
  kv.track(waiting);
  kv.untrack(waiting);
  return waiting.firstChunk.computed;
}

describe('one request', () => {
  it.each(CASES.map((one, number) => ({ number, ...one })))(
    '$number: $checkpoint $setting',
    async (one) => {
      const { driver, submit } = engineFor(one.checkpoint, one.eos);
      submit(1, one);
      await driver.finish();
      const reply = driver.replyOf(1);
      expect(reply.texts).toEqual(one.texts);
      for (const [i, score] of (one.scores ?? []).entries()) {
        expect(Math.abs(reply.scores[i]! - score)).toBeLessThan(
          1e-5 * Math.max(1, Math.abs(score)),
        );
      }
      const limit = one.setting.max_new_tokens;
      expect(reply.ends).toEqual(
        one.texts.map(({ length }) => (length === limit ? 'length' : 'stop')),
      );
    },
  );
});

describe('another question about an image', () => {
  it('reuses its image positions and gets the logits that it would get alone, bit for bit', async () => {
    const { golden, options } = loaded.get('tied')!;
    const cached = await openDecoder({ ...options, prefixCacheBytes: 2 ** 20 });
    const fresh = await openDecoder({ ...options, prefixCacheBytes: 0 });
    const prompts = golden.generations.map(({ image, prompt }) => ({
      imageKey: String(image),
      queryEmbeddings: rowOf(golden.queryEmbeddings, image),
      ids: prompt,
    }));
    await cached.prefill(0, prompts.slice(0, 2));
    const together = await cached.prefill(2, prompts);
    expect(cached.kv.memory.prefixes!.hits).toBeGreaterThan(1);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await fresh.prefill(0, [prompt]);
      expectSame(together[i]!, alone!);
      expect(maxDifference(alone!, rowOf(golden.nextTokenLogits, i))).toBeLessThan(1e-4);
    }
    expect(fresh.kv.memory.prefixes!.hits).toBe(0);
    for (const decoder of [cached, fresh]) await decoder.release();
  });
});

describe('the first token', () => {
  it('comes before keys and values are cached, and its logits are freed when they are', async () => {
    const { golden, options } = loaded.get('tied')!;
    const { decoder, kv } = await openDecoder({ ...options, prefixCacheBytes: 2 ** 20 });
    const { image, prompt } = golden.generations[0]!;
    const queryEmbeddings = rowOf(golden.queryEmbeddings, image);
    const positions = { start: 0, end: decoder.imagePositions + prompt.length };
    const rows = [{ prompt: { imageKey: '', queryEmbeddings, ids: prompt }, positions }];
    const put = vi.spyOn(decoder.cache, 'put');
    const { batch } = await kv.restorePrefixes({ kind: 'prefill', firstSlot: 0, rows });
    {
      using out = await decoder.forward(batch);
      expect(out.logits[0]!.length).toBe(options.manifest.decoder.vocab);
      expect(put).not.toHaveBeenCalled();
      await out.commit();
      expect(put).toHaveBeenCalledTimes(1);
      expect(out.logits[0]!.length).toBe(0);
      expect(kv.memory.prefixes!.bytes).toBe(0);
      await kv.storePrefixes(batch, out.keysAndValues);
      expect(kv.memory.prefixes!.bytes).toBeGreaterThan(0);
    }
    kv.release();
    await decoder.release();
  });

  it('frees logits, keys and values of an output that is never committed', async () => {
    const { golden, options } = loaded.get('tied')!;
    const { decoder } = await openDecoder(options);
    const queryEmbeddings = rowOf(golden.queryEmbeddings, 0);
    const positions = { start: 0, end: decoder.imagePositions + 1 };
    const rows = [{ prompt: { imageKey: '', queryEmbeddings, ids: [2] }, positions }];
    const out = await decoder.forward({ kind: 'prefill', firstSlot: 0, rows });
    const { logits, keysAndValues } = out;
    out[Symbol.dispose]();
    expect(logits[0]!.length).toBe(0);
    if (PROVIDER === 'cpu') expect(keysAndValues.layers[0]!.data.length).toBe(0);
    await decoder.release();
  });
});

describe('the next question of a conversation', () => {
  it('computes only its new text, and gets the logits that it would get alone, bit for bit', async () => {
    const { golden, options } = loaded.get('tied')!;
    const cached = await openDecoder({ ...options, prefixCacheBytes: 2 ** 20 });
    const fresh = await openDecoder({ ...options, prefixCacheBytes: 0 });
    const about = (image: number, ...ids: number[]) => ({
      imageKey: String(image),
      queryEmbeddings: rowOf(golden.queryEmbeddings, image),
      ids,
    });
    /** Prompts that are read together, and of the text of each how many positions are cached by then. */
    const rounds: [ReturnType<typeof about>, number][][] = [
      [[about(0, 2, 11, 12, 13, 14), 0]],
      [[about(0, 2, 11, 12, 13, 14, 21, 22, 23), 5]],
      [
        [about(0, 2, 11, 12, 13, 14, 21, 22, 23, 31, 32), 8],
        [about(0, 2, 11, 12, 41), 3],
        [about(1, 2, 11, 12, 13, 14), 0],
      ],
      // Asked once more: only the last id is read, for its logits.
      [[about(0, 2, 11, 12, 13, 14, 21, 22, 23), 7]],
    ];
    let positions = 0;
    for (const round of rounds) {
      const prompts = round.map(([prompt]) => prompt);
      for (const [prompt, known] of round) {
        const image =
          prompt.imageKey === '1' || positions + known === 0
            ? options.manifest.num_query_tokens
            : 0;
        expect(computedOf(cached, prompt)).toBe(image + prompt.ids.length - known);
      }
      const logits = await cached.prefill(0, prompts);
      positions += round.reduce((sum, [, known]) => sum + known, 0);
      expect(cached.kv.memory.prefixes!.textPositions).toBe(positions);
      for (const [i, prompt] of prompts.entries()) {
        const [alone] = await fresh.prefill(0, [prompt]);
        expectSame(logits[i]!, alone!);
        // And its next token attends to the same past.
        const cachedPositions = cached.decoder.cachedPositions(prompt.ids.length);
        const row = { nextToken: 7, cachedPositions };
        const [next] = await fresh.step([row]);
        const others = prompts.map((_, slot) => (slot === i ? row : null));
        expectSame((await cached.step(others))[i]!, next!);
      }
    }
    // Read in chunks, it is cached as well.
    const long = about(0, 2, 51, 52, 53, 54, 55, 56);
    await cached.prefill(0, [{ ...long, ids: long.ids.slice(0, 4) }]);
    const last = await cached.prefillChunk(0, long, 4, 7);
    expectSame(last, (await fresh.prefill(0, [long]))[0]!);
    expect(computedOf(cached, { ...long, ids: [...long.ids, 57, 58] })).toBe(2);
    expect(fresh.kv.memory.prefixes!.textPositions).toBe(0);
    for (const decoder of [cached, fresh]) await decoder.release();
  });
});

describe('a long prompt', () => {
  it('computed in chunks generates the same as in one pass, while others run', async () => {
    const { golden, options } = loaded.get('tied')!;
    const chunked = {
      ...options,
      manifest: { ...options.manifest, eos_token_ids: [3] },
      prefillChunkTokens: 3,
    };
    const decoder = await loadDecoder(chunked);
    const { models } = loaded.get('tied')!;
    const driver = new EngineDriver({ ...models, decoder }, chunked);
    const cases = CASES.filter(
      ({ checkpoint, eos }) => checkpoint === 'tied' && String(eos) === '3',
    );
    expect(Math.max(...cases.map(({ prompt }) => prompt.length))).toBeGreaterThan(6);
    for (const [id, { image, prompt, setting }] of cases.entries()) {
      driver.submit(id, rowOf(golden.queryEmbeddings, image), prompt, setting);
    }
    await driver.finish();
    expect(cases.map((_, id) => driver.replyOf(id).texts)).toEqual(cases.map(({ texts }) => texts));
    await decoder.release();
  });
});

describe('requests together', () => {
  it('generate the texts that each generates alone, beams and greedy texts in one batch', async () => {
    for (const eos of [...new Set(CASES.map((one) => JSON.stringify(one.eos)))]) {
      for (const checkpoint of ['tied', 'untied']) {
        const cases = CASES.filter(
          (one) => one.checkpoint === checkpoint && JSON.stringify(one.eos) === eos,
        );
        const { driver, submit } = engineFor(checkpoint, JSON.parse(eos));
        cases.forEach((one, id) => {
          submit(id, one);
        });
        await driver.finish();
        expect(cases.map((_, id) => driver.replyOf(id).texts)).toEqual(
          cases.map(({ texts }) => texts),
        );
      }
    }
  });

  it('generate the same when one of them is canceled in the middle of a run', async () => {
    const [, ...others] = CASES.filter(
      ({ checkpoint, eos, texts }) =>
        checkpoint === 'tied' && eos[0] === 3 && eos.length === 1 && texts[0]!.length > 6,
    ).slice(0, 4);
    expect(others).toHaveLength(3);
    const { driver, submit } = engineFor('tied', [3]);
    const leaving = { ...others[0]!, setting: { max_new_tokens: 20, min_new_tokens: 20 } };
    submit(99, leaving);
    others.forEach((one, id) => {
      submit(id, one);
    });
    for (let step = 0; step < 4; step++) await driver.engine.advance();
    const under = driver.engine.advance();
    driver.engine.cancel(99);
    await under;
    await driver.finish();
    expect(others.map((_, id) => driver.replyOf(id).texts)).toEqual(
      others.map(({ texts }) => texts),
    );
  });
});

describe('requests that wait for the only slot', () => {
  const { prompt, image } = CASES[0]!;
  const setting = { max_new_tokens: 3, min_new_tokens: 3 };

  it('are served client by client, and background work last', async () => {
    const { golden, options, models } = loaded.get('tied')!;
    const driver = new EngineDriver(models, { ...options, maxSlots: 1 });
    const values = rowOf(golden.queryEmbeddings, image);
    const [job, person] = ['background', 'interactive'] as const;
    const callers = [
      { client: 'jobs', priority: job },
      { client: 'a', priority: person },
      { client: 'a', priority: person },
      { client: 'a', priority: person },
      { client: 'b', priority: person },
      { client: 'jobs', priority: job },
      { client: 'b', priority: person },
    ] as const;
    for (const [id, caller] of callers.entries()) {
      driver.submit(id, values, prompt, setting, caller);
    }
    await driver.finish();
    expect(driver.ended).toEqual([1, 4, 2, 6, 3, 0, 5]);
  });
});

describe('several sampled texts', () => {
  it('share a prefill and diverge afterwards, the same for the same seed', async () => {
    const { driver, submit } = engineFor('tied', [3]);
    const setting = { max_new_tokens: 8, num_return_sequences: 4, temperature: 1.5, seed: 5 };
    const { prompt, image } = CASES[0]!;
    const request = { image, prompt, setting };
    submit(1, request);
    submit(2, request);
    await driver.finish();
    const { texts } = driver.replyOf(1);
    expect(new Set(texts.map(String)).size).toBeGreaterThan(1);
    expect(driver.replyOf(2).texts).toEqual(texts);
  });

  it('begin with the text that a single one of the same seed has', async () => {
    const { driver, submit } = engineFor('tied', [3]);
    const { prompt, image } = CASES[0]!;
    const setting = { max_new_tokens: 8, temperature: 1.5, seed: 5 };
    submit(1, { image, prompt, setting });
    const several = { ...setting, num_return_sequences: 3 };
    submit(2, { image, prompt, setting: several });
    await driver.finish();
    expect(driver.replyOf(2).texts[0]).toEqual(driver.replyOf(1).texts[0]);
  });
});

describe('log-probabilities', () => {
  const { prompt, image } = CASES[0]!;

  it('are those of the model, before penalties, with the likeliest first', async () => {
    const { golden, options, models } = loaded.get('tied')!;
    const values = rowOf(golden.queryEmbeddings, image);
    const decoder = new DecoderDriver(models.decoder, { ...options, prefixCacheBytes: 0 });
    const [logits] = await decoder.prefill(0, [
      { imageKey: '', queryEmbeddings: values, ids: prompt },
    ]);
    const total = Math.log(logits!.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const expected = [...logits!].map((logit, id) => ({ id, logprob: logit - total }));
    expected.sort((a, b) => b.logprob - a.logprob);

    const { driver, submit } = engineFor('tied', [3]);
    const scored = { logprobs: true, top_logprobs: 3 };
    submit(1, {
      image,
      prompt,
      setting: { max_new_tokens: 1, repetition_penalty: 1.7, ...scored },
    });
    await driver.finish();
    const [{ id, scored: found }] = tokensOf(driver, 1) as [GeneratedToken];
    expect(found!.logprob).toBeCloseTo(expected.find((one) => one.id === id)!.logprob, 4);
    expect(found!.top.map((one) => one.id)).toEqual(expected.slice(0, 3).map((one) => one.id));
  });

  it('of a beam add up to its score', async () => {
    const { driver, submit } = engineFor('tied', [3]);
    const setting = { max_new_tokens: 6, num_beams: 3, length_penalty: 0, logprobs: true };
    submit(1, { image, prompt, setting });
    await driver.finish();
    const sum = tokensOf(driver, 1).reduce((all, { scored }) => all + scored!.logprob, 0);
    const { ends, scores } = driver.replyOf(1);
    expect(ends).toEqual(['length']);
    expect(scores[0]).toBeCloseTo(sum, 4);
  });
});

function tokensOf(driver: EngineDriver, id: number): GeneratedToken[] {
  return driver.eventsOf(id).flatMap((event) => (event.type === 'tokens' ? event.tokens : []));
}
