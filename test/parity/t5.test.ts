/** A T5 bundle has the logits and texts of transformers for its checkpoint (golden/make/t5_checkpoints.py). */
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import {
  type EngineModels,
  loadModels,
  releaseModels,
} from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DecoderDriver } from '../../tools/eval/decoder-driver.ts';
import { readT5Golden, rowOf, T5_CASES, type T5Golden } from '../../tools/eval/goldens.ts';
import { expectSame, maxDifference } from '../support/difference.ts';
import { EngineDriver } from '../support/engine-driver.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { rowTensor } from '../support/tensors.ts';

const TOLERANCE = 1e-4;

const bundles = temporaryFolder();

describe.each(T5_CASES)('the bundle of the random checkpoint "%s"', (name) => {
  let golden: T5Golden;
  let options: EngineOptions;
  let models: EngineModels;
  let decoder: DecoderDriver;
  beforeAll(async () => {
    golden = readT5Golden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const manifest = await readGenerativeManifest(bundle);
    options = {
      bundle,
      manifest,
      executionProvider: PROVIDER,
      threads: 2,
      maxSlots: 8,
      prefillChunkTokens: 64,
      prefixCacheBytes: 0,
    };
    models = await loadModels(options);
    decoder = new DecoderDriver(models.decoder, options);
  });
  afterAll(() => releaseModels(models));
  const prompts = () =>
    golden.generations.map(({ image, prompt }) => ({
      imageKey: '',
      queryEmbeddings: rowOf(golden.queryEmbeddings, image),
      ids: prompt,
    }));

  it('gives the query embeddings of transformers', async () => {
    const found = await models.qformer.query(rowTensor(golden.imageFeatures, 0));
    expect(maxDifference(found, rowOf(golden.queryEmbeddings, 0))).toBeLessThan(TOLERANCE);
  });

  it('gives the next-token logits of transformers, short and long prompts in one batch', async () => {
    const logits = await decoder.prefill(0, prompts());
    for (const [i, row] of logits.entries()) {
      expect(maxDifference(row, rowOf(golden.nextTokenLogits, i))).toBeLessThan(TOLERANCE);
    }
  });

  it('gives a prompt in a batch, after other prompts in its slot, the logits that it gets alone', async () => {
    const alone: Float32Array[] = [];
    for (const prompt of prompts()) {
      const [logits] = await decoder.prefill(0, [prompt]);
      alone.push(logits!);
    }
    // Long prompts first: what they leave behind in the slots must not matter.
    await decoder.prefill(0, prompts().toReversed());
    const together = await decoder.prefill(0, prompts());
    for (const [i, row] of together.entries()) expectSame(row, alone[i]!);
    const rows = [5, 9, 3, 7, 11].map((nextToken) => ({ nextToken, cachedPositions: 1 }));
    const steps = await decoder.step(rows);
    for (const [i, prompt] of prompts().entries()) {
      await decoder.prefill(0, [prompt]);
      const [logits] = await decoder.step([rows[i]!]);
      expectSame(steps[i]!, logits!);
    }
  });

  it('generates the greedy and beam texts of transformers, all requests together', async () => {
    const driver = new EngineDriver(models, options);
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
