/** Bundles in fewer bits: close to the exact one, and with the same results alone and in a batch. */
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import { describe, expect, it } from 'vitest';
import {
  CASES,
  RETRIEVAL_CASES,
  readGolden,
  readRetrievalGolden,
  readT5Golden,
  rowOf,
  T5_CASES,
} from '../../tools/eval/goldens.ts';
import { measurePrecision, openGolden } from '../../tools/eval/precision-metrics.ts';
import { measureRetrievalPrecision } from '../../tools/eval/retrieval-metrics.ts';
import { expectSame } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

const options = () => ({ bundles, executionProvider: PROVIDER });

const ALL = [...CASES, ...T5_CASES];
const goldenOf = (name: (typeof ALL)[number]) =>
  name.startsWith('t5') ? readT5Golden(name) : readGolden(name);

describe.each(['int8', 'int4'] as const)('%s', (precision) => {
  it.each(ALL)('is near the exact bundle of the random checkpoint "%s"', async (name) => {
    const metrics = await measurePrecision(goldenOf(name), precision, options());
    if (process.env.PARITY_REPORT) console.log(precision, name, metrics);
    expect(metrics.cosine).toBeGreaterThan(0.98);
    // Random weights are the worst there is for few bits: what is generated depends on noise, and on the processor.
    expect(metrics.logprob).toBeLessThan(precision === 'int8' ? 0.5 : 1.6);
    expect(metrics.top1).toBeGreaterThan(precision === 'int8' ? 0.5 : 0.25);
  });

  it.each(RETRIEVAL_CASES)('scores close to the exact bundle of "%s"', async (name) => {
    const metrics = await measureRetrievalPrecision(
      readRetrievalGolden(name),
      precision,
      options(),
    );
    if (process.env.PARITY_REPORT) console.log(precision, name, metrics);
    // Both have 8 bits here (builder/precision.ts). Probabilities of one text for another are 0.2 apart and more.
    expect(metrics.imageCosine).toBeGreaterThan(0.995);
    expect(metrics.textCosine).toBeGreaterThan(0.998);
    expect(metrics.itm).toBeLessThan(0.03);
    expect(metrics.itmMost).toBeLessThan(0.15);
  });

  it.each(ALL)('computes a row of a batch bit for bit as alone: "%s"', async (name) => {
    const golden = goldenOf(name);
    const { models, decoder } = await openGolden(golden, precision, options());
    const prompts = golden.generations.map(({ image, prompt }) => ({
      imageKey: String(image),
      queryEmbeddings: rowOf(golden.queryEmbeddings, image),
      ids: prompt,
    }));
    const together = await decoder.prefill(0, prompts);
    const rows = prompts.map(({ ids }, i) => ({
      nextToken: 5 + i,
      cachedPositions: models.decoder.cachedPositions(ids.length),
    }));
    const steps = await decoder.step(rows);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await decoder.prefill(0, [prompt]);
      expectSame(alone!, together[i]!);
      const [step] = await decoder.step([rows[i]!]);
      expectSame(step!, steps[i]!);
    }
    await releaseModels(models);
  });
});

describe('bundles of one checkpoint', () => {
  it('coexist in every precision, and name it', async () => {
    const { checkpoint } = readGolden('tied');
    const built = new Map<string, string>();
    for (const precision of ['fp32', 'int8', 'int4'] as const) {
      const bundle = await ensureBundle(checkpoint, { bundles, precision });
      built.set(bundle, precision);
      expect(await readManifest(bundle)).toMatchObject({ precision });
      expect(await ensureBundle(checkpoint, { bundles, precision })).toBe(bundle);
    }
    expect(built.size).toBe(3);
    expect(await ensureBundle(checkpoint, { bundles, precision: 'auto' })).toBe(
      [...built.keys()][0],
    );
  });

  it('never share cached embeddings where their image sides differ', async () => {
    const { checkpoint } = readGolden('tied');
    const identity = async (precision: 'fp32' | 'int8' | 'int4') =>
      (await readManifest(await ensureBundle(checkpoint, { bundles, precision }))).preprocessing;
    expect(await identity('int8')).not.toBe(await identity('fp32'));
    expect(await identity('int8')).toBe(await identity('int4'));
  });
});
