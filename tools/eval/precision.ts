/** Compares fewer bits with fp32 on the random checkpoints of the parity tests, which suffer most from few bits. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Precision } from '@blip2/shared/precision';
import {
  CASES,
  RETRIEVAL_CASES,
  readGolden,
  readRetrievalGolden,
  readT5Golden,
  T5_CASES,
} from './goldens.ts';
import { measurePrecision } from './precision-metrics.ts';
import { measureRetrievalPrecision } from './retrieval-metrics.ts';

type Table = string[][];

const HEAD = ['against fp32', 'random checkpoint'];

/** One table for generative checkpoints and one for retrieval, their heads first; none where only `fp32` is asked for. */
export async function precisionTables(precisions: readonly Precision[]): Promise<Table[]> {
  const fewer = precisions.filter((precision) => precision !== 'fp32');
  if (fewer.length === 0) return [];
  await using folder = await mkdtempDisposable(join(tmpdir(), 'blip2-eval-'));
  return [await generativeTable(fewer, folder.path), await retrievalTable(fewer, folder.path)];
}

async function generativeTable(precisions: readonly Precision[], bundles: string): Promise<Table> {
  const head = ['least cosine of embeddings', 'same top token', 'mean Δ log p, absolute'];
  const table = [[...HEAD, ...head]];
  for (const precision of precisions) {
    for (const name of [...CASES, ...T5_CASES]) {
      const golden = name.startsWith('t5') ? readT5Golden(name) : readGolden(name);
      const { cosine, top1, logprob } = await measurePrecision(golden, precision, {
        bundles,
        executionProvider: 'cpu',
      });
      const metrics = [cosine.toFixed(4), `${(100 * top1).toFixed(0)} %`, logprob.toFixed(3)];
      table.push([precision, name, ...metrics]);
    }
  }
  return table;
}

async function retrievalTable(precisions: readonly Precision[], bundles: string): Promise<Table> {
  const head = ['least cosine of ITC, images', 'texts', 'mean Δ ITM, absolute', 'most'];
  const table = [[...HEAD, ...head]];
  for (const precision of precisions) {
    for (const name of RETRIEVAL_CASES) {
      const golden = readRetrievalGolden(name);
      const of = await measureRetrievalPrecision(golden, precision, {
        bundles,
        executionProvider: 'cpu',
      });
      const metrics = [of.imageCosine, of.textCosine, of.itm, of.itmMost];
      table.push([precision, name, ...metrics.map((metric) => metric.toFixed(4))]);
    }
  }
  return table;
}
