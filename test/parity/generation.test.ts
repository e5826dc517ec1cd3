/** The engine writes what transformers' `generate` writes, under every setting (make_generation_golden.py). */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import { type Decoder, loadDecoder } from '@blip2/gpu-worker/engine/decoder';
import { Engine } from '@blip2/gpu-worker/engine/engine';
import { ImageRunner } from '@blip2/gpu-worker/engine/image-runner';
import type { EngineOptions, JobEvent } from '@blip2/gpu-worker/engine/messages';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Golden, readGolden, rowOf } from './golden.ts';

type Case = {
  checkpoint: string;
  image: number;
  prompt: number[];
  eos: number[];
  setting: Record<string, number | string | boolean>;
  texts: number[][];
  scores?: number[];
};

const CASES: Case[] = JSON.parse(
  readFileSync(new URL('golden/generation.json', import.meta.url), 'utf8'),
);

/** transformers' names where the API has others. */
function configOf({
  max_new_tokens,
  min_new_tokens,
  num_return_sequences,
  ...rest
}: Case['setting']) {
  return GenerationConfig.parse({
    max_tokens: max_new_tokens,
    min_tokens: min_new_tokens,
    n: num_return_sequences,
    ...rest,
  });
}

let bundles: string;
const loaded = new Map<
  string,
  { golden: Golden; options: EngineOptions; images: ImageRunner; decoder: Decoder }
>();

beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-generation-'));
  for (const name of ['tied', 'untied']) {
    const golden = readGolden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const options: EngineOptions = {
      bundle,
      manifest: await readGenerateManifest(bundle),
      executionProvider: 'cpu',
      threads: 1,
      maxSlots: 8,
    };
    const [images, decoder] = [await ImageRunner.load(options), await loadDecoder(options)];
    loaded.set(name, { golden, options, images, decoder });
  }
});
afterAll(async () => {
  for (const { images, decoder } of loaded.values()) {
    await images.release();
    await decoder.release();
  }
  await rm(bundles, { recursive: true, force: true });
});

type Reply = { texts: number[][]; scores: (number | undefined)[]; ends: string[] };

/** An engine for one list of end tokens, and what it has said of each job. */
function engineFor(checkpoint: string, eos: number[]) {
  const { golden, options, images, decoder } = loaded.get(checkpoint)!;
  const events = new Map<number, JobEvent[]>();
  const manifest = { ...options.manifest, eos_token_ids: eos };
  const engine = new Engine({ images, decoder }, { ...options, manifest }, (id, event) =>
    events.set(id, [...(events.get(id) ?? []), event]),
  );
  const submit = (id: number, { image, prompt, setting }: Omit<Case, 'texts'>) =>
    engine.submit(id, {
      source: { kind: 'embeddings', values: rowOf(golden.queryEmbeddings, image) },
      generate: { inputIds: prompt, config: configOf(setting) },
    });
  return { engine, submit, replyOf: (id: number) => replyOf(events.get(id) ?? []) };
}

function replyOf(events: readonly JobEvent[]): Reply {
  const done = events.at(-1);
  if (done?.type !== 'done') throw new Error(`ended with ${JSON.stringify(done)}`);
  const texts: number[][] = done.choices.map(() => []);
  for (const event of events) {
    if (event.type === 'tokens') texts[event.choice]!.push(...event.tokens.map(({ id }) => id));
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

describe('one request', () => {
  it.each(CASES.map((one, number) => ({ number, ...one })))(
    '$number: $checkpoint $setting',
    async (one) => {
      const { engine, submit, replyOf } = engineFor(one.checkpoint, one.eos);
      submit(1, one);
      while (await engine.advance());
      const reply = replyOf(1);
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

describe('requests together', () => {
  it('write what each writes alone, beams beside greedy texts', async () => {
    for (const eos of [...new Set(CASES.map((one) => JSON.stringify(one.eos)))]) {
      for (const checkpoint of ['tied', 'untied']) {
        const cases = CASES.filter(
          (one) => one.checkpoint === checkpoint && JSON.stringify(one.eos) === eos,
        );
        const { engine, submit, replyOf } = engineFor(checkpoint, JSON.parse(eos));
        cases.forEach((one, id) => {
          submit(id, one);
        });
        while (await engine.advance());
        expect(cases.map((_, id) => replyOf(id).texts)).toEqual(cases.map(({ texts }) => texts));
      }
    }
  });

  it('are not disturbed by one that is cancelled in the middle of a run', async () => {
    const [, ...others] = CASES.filter(
      ({ checkpoint, eos, texts }) =>
        checkpoint === 'tied' && eos[0] === 3 && eos.length === 1 && texts[0]!.length > 6,
    ).slice(0, 4);
    expect(others).toHaveLength(3);
    const { engine, submit, replyOf } = engineFor('tied', [3]);
    const leaving = { ...others[0]!, setting: { max_new_tokens: 20, min_new_tokens: 20 } };
    submit(99, leaving);
    others.forEach((one, id) => {
      submit(id, one);
    });
    for (let step = 0; step < 4; step++) await engine.advance();
    const under = engine.advance();
    engine.cancel(99);
    await under;
    while (await engine.advance());
    expect(others.map((_, id) => replyOf(id).texts)).toEqual(others.map(({ texts }) => texts));
  });
});

describe('several sampled texts', () => {
  it('share a prefill and part afterwards, the same for the same seed', async () => {
    const { engine, submit, replyOf } = engineFor('tied', [3]);
    const setting = { max_new_tokens: 8, num_return_sequences: 4, temperature: 1.5, seed: 5 };
    const { prompt, image } = CASES[0]!;
    const request = { checkpoint: 'tied', image, prompt, eos: [3], setting };
    submit(1, request);
    submit(2, request);
    while (await engine.advance());
    const { texts } = replyOf(1);
    expect(new Set(texts.map(String)).size).toBeGreaterThan(1);
    expect(replyOf(2).texts).toEqual(texts);
  });

  it('begin with what one text of the same seed begins with', async () => {
    const { engine, submit, replyOf } = engineFor('tied', [3]);
    const { prompt, image } = CASES[0]!;
    const setting = { max_new_tokens: 8, temperature: 1.5, seed: 5 };
    submit(1, { checkpoint: 'tied', image, prompt, eos: [3], setting });
    const several = { ...setting, num_return_sequences: 3 };
    submit(2, { checkpoint: 'tied', image, prompt, eos: [3], setting: several });
    while (await engine.advance());
    expect(replyOf(2).texts[0]).toEqual(replyOf(1).texts[0]);
  });
});

describe('log-probabilities', () => {
  const requestWith = (setting: Case['setting']) => {
    const { prompt, image } = CASES[0]!;
    return { checkpoint: 'tied', image, prompt, eos: [3], setting };
  };

  it('are those of the model, before penalties, with the likeliest first', async () => {
    const { golden, decoder } = loaded.get('tied')!;
    const { image, prompt } = golden.generations[0]!;
    const [logits] = await decoder.prefill(0, [
      { image: rowOf(golden.queryEmbeddings, image), ids: prompt },
    ]);
    const total = Math.log(logits!.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const expected = [...logits!].map((logit, id) => ({ id, logprob: logit - total }));
    expected.sort((a, b) => b.logprob - a.logprob);

    const { options, images } = loaded.get('tied')!;
    const said: JobEvent[] = [];
    const engine = new Engine({ images, decoder }, options, (_, event) => said.push(event));
    engine.submit(1, {
      source: { kind: 'embeddings', values: rowOf(golden.queryEmbeddings, image) },
      generate: {
        inputIds: prompt,
        config: GenerationConfig.parse({
          max_tokens: 1,
          repetition_penalty: 1.7,
          logprobs: true,
          top_logprobs: 3,
        }),
      },
    });
    while (await engine.advance());
    const first = said[0];
    if (first?.type !== 'tokens') throw new Error('no token');
    const [{ id, scored }] = first.tokens as [{ id: number; scored: { logprob: number; top: [] } }];
    expect(scored.logprob).toBeCloseTo(expected.find((one) => one.id === id)!.logprob, 4);
    expect(scored.top.map((one: { id: number }) => one.id)).toEqual(
      expected.slice(0, 3).map((one) => one.id),
    );
  });

  it('of a beam add up to its score', async () => {
    const { engine, submit, replyOf } = engineFor('tied', [3]);
    const { options, images, decoder } = loaded.get('tied')!;
    const said: JobEvent[] = [];
    const scored = new Engine({ images, decoder }, options, (_, event) => said.push(event));
    const request = requestWith({ max_new_tokens: 6, num_beams: 3, length_penalty: 0 });
    submit(1, request);
    while (await engine.advance());
    scored.submit(1, {
      source: {
        kind: 'embeddings',
        values: rowOf(loaded.get('tied')!.golden.queryEmbeddings, request.image),
      },
      generate: {
        inputIds: request.prompt,
        config: { ...configOf(request.setting), logprobs: true },
      },
    });
    while (await scored.advance());
    const [tokens, done] = said;
    if (tokens?.type !== 'tokens' || done?.type !== 'done') throw new Error('no text');
    expect(tokens.tokens.map(({ id }) => id)).toEqual(replyOf(1).texts[0]);
    const sum = tokens.tokens.reduce((total, token) => total + token.scored!.logprob, 0);
    expect(done.choices[0]!.finishReason).toBe('length');
    expect(done.choices[0]!.score).toBeCloseTo(sum, 4);
  });
});
