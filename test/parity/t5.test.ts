/** A T5 bundle computes, and the engine writes with it, what transformers does for its checkpoint (make_t5_golden.py). */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import type { Decoder } from '@blip2/gpu-worker/engine/models/decoder';
import {
  type EngineParts,
  loadParts,
  releaseParts,
} from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSame, maxDifference } from '../../tools/eval/difference.ts';
import { PROVIDER } from '../../tools/eval/execution-provider.ts';
import { readT5Golden, rowOf, T5_CASES, type T5Golden } from '../../tools/eval/goldens.ts';
import { logitsOf } from '../../tools/eval/logits-of.ts';
import { EngineDriver } from '../support/engine-driver.ts';

const TOLERANCE = 1e-4;

let bundles: string;
beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-t5-'));
});
afterAll(() => rm(bundles, { recursive: true, force: true }));

describe.each(T5_CASES)('the bundle of the random checkpoint "%s"', (name) => {
  let golden: T5Golden;
  let options: EngineOptions;
  let parts: EngineParts;
  let decoder: Decoder;
  beforeAll(async () => {
    golden = readT5Golden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const manifest = await readGenerateManifest(bundle);
    options = {
      bundle,
      manifest,
      executionProvider: PROVIDER,
      threads: 2,
      maxSlots: 8,
      prefillPiece: 64,
      prefixCacheBytes: 0,
    };
    parts = await loadParts(options);
    decoder = parts.decoder;
  });
  afterAll(() => releaseParts(parts));
  const prompts = () =>
    golden.generations.map(({ image, prompt }) => ({
      key: '',
      image: rowOf(golden.queryEmbeddings, image),
      ids: prompt,
    }));

  it('gives the query embeddings of transformers', async () => {
    const queries = rowOf(golden.imageFeatures, 0);
    const dims = [1, ...golden.imageFeatures.shape.slice(1)];
    const found = await parts.qformer.query(new Tensor('float32', queries, dims));
    expect(maxDifference(found, rowOf(golden.queryEmbeddings, 0))).toBeLessThan(TOLERANCE);
  });

  it('gives the next-token logits of transformers, short and long prompts in one batch', async () => {
    const logits = await logitsOf((then) => decoder.prefill(0, prompts(), then));
    for (const [i, row] of logits.entries()) {
      expect(maxDifference(row, rowOf(golden.nextTokenLogits, i))).toBeLessThan(TOLERANCE);
    }
  });

  it('gives a prompt in a batch, after other prompts in its slot, what it gets alone', async () => {
    const alone: Float32Array[] = [];
    for (const prompt of prompts()) {
      const [logits] = await logitsOf((then) => decoder.prefill(0, [prompt], then));
      alone.push(logits!.slice());
    }
    // Long prompts first: what they leave behind in the slots must not be seen.
    await logitsOf((then) => decoder.prefill(0, prompts().toReversed(), then));
    const together = await logitsOf((then) => decoder.prefill(0, prompts(), then));
    for (const [i, row] of together.entries()) expectSame(row, alone[i]!);
    const tokens = [5, 9, 3, 7, 11];
    const steps = await logitsOf((then) =>
      decoder.step(
        tokens.map((token) => ({ token, past: 1 })),
        then,
      ),
    );
    for (const [i, prompt] of prompts().entries()) {
      await logitsOf((then) => decoder.prefill(0, [prompt], then));
      const [logits] = await logitsOf((then) =>
        decoder.step([{ token: tokens[i]!, past: 1 }], then),
      );
      expectSame(steps[i]!, logits!);
    }
  });

  it('writes the greedy and beam texts of transformers, all requests together', async () => {
    const driver = new EngineDriver(parts, options);
    const { max_new_tokens, beams } = golden;
    for (const [i, { image, prompt }] of golden.generations.entries()) {
      const values = rowOf(golden.queryEmbeddings, image);
      driver.submit(2 * i, values, prompt, { max_new_tokens });
      driver.submit(2 * i + 1, values, prompt, { max_new_tokens, ...beams });
    }
    await driver.finish();
    for (const [i, one] of golden.generations.entries()) {
      expect(driver.replyOf(2 * i).texts).toEqual([one.greedy]);
      const searched = driver.replyOf(2 * i + 1);
      expect(searched.texts).toEqual(one.beams);
      for (const [k, score] of one.scores.entries()) {
        expect(Math.abs(searched.scores[k]! - score)).toBeLessThan(1e-4 * Math.abs(score));
      }
    }
  });
});

describe('a T5 checkpoint', () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['without a gate', { feed_forward_proj: 'relu' }, /feed_forward_proj/],
    ['with an unknown gate', { dense_act_fn: 'silu' }, /dense_act_fn/],
    ['with more layers than tensors', { num_layers: 4 }, /encoder.block.3/],
    [
      'with another number of buckets',
      { relative_attention_num_buckets: 12 },
      /\[11,3\].*\[12,3\]/,
    ],
  ])('%s is refused by name', async (_name, change, message) => {
    const folder = await mkdtemp(join(bundles, 'changed-'));
    await cp(readT5Golden('t5').checkpoint, folder, { recursive: true });
    const path = join(folder, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8'));
    Object.assign(config.text_config, change);
    await writeFile(path, JSON.stringify(config));
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(message);
  });
});
