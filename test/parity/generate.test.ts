/** A bundle computes what transformers computes for its checkpoint (golden/make/opt_checkpoints.py). */
import { ensureBundle } from '@blip2/gpu-worker/builder/index';
import { argmax } from '@blip2/gpu-worker/engine/decoding/logits-processors';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CASES, type Golden, readGolden, rowOf } from '../../tools/eval/goldens.ts';
import { BundleRunner, type Row } from '../support/bundle-runner.ts';
import { expectSame, maxDifference } from '../support/difference.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const TOLERANCE = 1e-4;

const bundles = temporaryFolder();

describe.each(CASES)('the bundle of the random checkpoint "%s"', (name) => {
  let golden: Golden;
  let runner: BundleRunner;
  const image = (index: number) => ({
    count: runner.manifest.num_query_tokens,
    values: rowOf(golden.queryEmbeddings, index),
  });
  beforeAll(async () => {
    golden = readGolden(name);
    runner = await BundleRunner.load(await ensureBundle(golden.checkpoint, { bundles }));
  });
  afterEach(() => runner.clear());
  afterAll(() => runner?.release());

  it('gives the image features and query embeddings of transformers', async () => {
    const images = golden.pixels.shape[0]!;
    const { imageFeatures, queryEmbeddings } = await runner.encode(golden.pixels.values, images);
    expect(maxDifference(imageFeatures, golden.imageFeatures.values)).toBeLessThan(TOLERANCE);
    expect(maxDifference(queryEmbeddings, golden.queryEmbeddings.values)).toBeLessThan(TOLERANCE);
  });

  it('gives an image the same embeddings alone as in a batch', async () => {
    const images = golden.pixels.shape[0]!;
    const together = await runner.encode(golden.pixels.values, images);
    const { shape } = golden.queryEmbeddings;
    for (let i = 0; i < images; i++) {
      const alone = await runner.encode(rowOf(golden.pixels, i), 1);
      const row = rowOf({ shape, values: together.queryEmbeddings }, i);
      expectSame(alone.queryEmbeddings, row);
    }
  });

  it('gives the next-token logits and greedy tokens of transformers', async () => {
    for (const [i, { image: index, prompt, greedy }] of golden.generations.entries()) {
      let [logits] = await runner.decode([{ slot: i, ids: prompt, past: 0 }], image(index));
      expect(maxDifference(logits!, rowOf(golden.nextTokenLogits, i))).toBeLessThan(TOLERANCE);
      const written = [argmax(logits!)];
      let past = runner.manifest.num_query_tokens + prompt.length;
      while (written.length < greedy.length) {
        [logits] = await runner.decode([{ slot: i, ids: [written.at(-1)!], past }]);
        written.push(argmax(logits!));
        past += 1;
      }
      expect(written).toEqual(greedy);
    }
  });

  it('gives rows of one ragged batch the results that each gets alone', async () => {
    const { generations } = golden;
    const queries = runner.manifest.num_query_tokens;
    const alone: Float32Array[] = [];
    for (const [i, { image: index, prompt }] of generations.entries()) {
      alone.push((await runner.decode([{ slot: i, ids: prompt, past: 0 }], image(index)))[0]!);
    }
    runner.clear();
    const rows = generations.map(({ prompt }, slot) => ({ slot, ids: prompt, past: 0 }));
    const values = Float32Array.from(generations.flatMap((g) => [...image(g.image).values]));
    let logits = await runner.decode(rows, { count: queries, values });
    logits.forEach((row, i) => {
      expectSame(row, alone[i]!);
    });
    const written = logits.map((row) => [argmax(row)]);
    while (written[0]!.length < generations[0]!.greedy.length) {
      const steps = rows.map(({ slot, ids }) => ({
        slot,
        ids: [written[slot]!.at(-1)!],
        past: queries + ids.length + written[slot]!.length - 1,
      }));
      logits = await runner.decode(steps);
      logits.forEach((row, i) => {
        written[i]!.push(argmax(row));
      });
    }
    expect(written).toEqual(generations.map(({ greedy }) => greedy));
  });

  it('prefills text behind cached image positions, whole or in chunks, as in one pass', async () => {
    const queries = runner.manifest.num_query_tokens;
    for (const [i, { image: index, prompt }] of golden.generations.entries()) {
      const expected = rowOf(golden.nextTokenLogits, i);
      await runner.decode([{ slot: 100, ids: [], past: 0 }], image(index));
      runner.copySlot(100, i);
      const [whole] = await runner.decode([{ slot: i, ids: prompt, past: queries }]);
      expect(maxDifference(whole!, expected)).toBeLessThan(TOLERANCE);

      runner.copySlot(100, i);
      const cut = Math.ceil(prompt.length / 2);
      const [head, tail] = [prompt.slice(0, cut), prompt.slice(cut)];
      let [last] = await runner.decode([{ slot: i, ids: head, past: queries }], undefined, cut + 2);
      if (tail.length > 0) {
        [last] = await runner.decode([{ slot: i, ids: tail, past: queries + cut }]);
      }
      expect(maxDifference(last!, expected)).toBeLessThan(TOLERANCE);
    }
  });

  it('gives ragged rows on filled caches of any length the results that each gets alone', async () => {
    const queries = runner.manifest.num_query_tokens;
    const rows: Row[] = [];
    const alone: Float32Array[] = [];
    for (const [slot, { image: index, prompt }] of golden.generations.entries()) {
      // Row 0 has only its text; the others have the image and a part of their prompt cached.
      const cachedPositions = slot === 0 ? 0 : queries + Math.floor(prompt.length / 2);
      if (cachedPositions > 0) {
        const ids = prompt.slice(0, cachedPositions - queries);
        await runner.decode([{ slot, ids, past: 0 }], image(index));
      }
      const row = {
        slot,
        ids: slot === 0 ? prompt : prompt.slice(cachedPositions - queries),
        past: cachedPositions,
      };
      runner.copySlot(slot, slot + 100);
      alone.push((await runner.decode([{ ...row, slot: slot + 100 }], undefined, 6))[0]!);
      rows.push(row);
    }
    const together = await runner.decode(rows, undefined, 6);
    together.forEach((logits, i) => {
      expectSame(logits, alone[i]!);
    });
    // What they left in their caches serves the next step as well.
    const step = (offset: number) =>
      rows.map(({ slot, ids, past }) => ({
        slot: slot + offset,
        ids: [7],
        past: past + ids.length,
      }));
    const after = await runner.decode(step(0));
    const expected = await runner.decode(step(100));
    after.forEach((logits, i) => {
      expectSame(logits, expected[i]!);
    });
  });
});

it('one of them has images as large as those tuned for COCO: 364 px, 677 positions', () => {
  expect(readGolden('coco').pixels.shape.at(-1)).toBe(364);
  expect(readGolden('coco').imageFeatures.shape).toEqual([1, 677, 14]);
});
