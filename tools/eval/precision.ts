/** Fewer bits against fp32 on the random checkpoints of the parity tests: the worst there is for few bits. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Precision } from '@blip2/shared/bundle-manifest';
import {
  CASES,
  RETRIEVAL_CASES,
  readGolden,
  readRetrievalGolden,
  readT5Golden,
  T5_CASES,
} from './goldens.ts';
import { figuresOf } from './precision-metrics.ts';
import { retrievalFiguresOf } from './retrieval-metrics.ts';

type Table = string[][];

const HEAD = ['against fp32', 'random checkpoint'];

/** Tables, their heads first: of what writes, and of what compares. None where `fp32` is all that is asked for. */
export async function precisionTables(precisions: readonly Precision[]): Promise<Table[]> {
  const fewer = precisions.filter((precision) => precision !== 'fp32');
  if (fewer.length === 0) return [];
  const bundles = await mkdtemp(join(tmpdir(), 'blip2-eval-'));
  try {
    return [await writing(fewer, bundles), await comparing(fewer, bundles)];
  } finally {
    await rm(bundles, { recursive: true, force: true });
  }
}

async function writing(precisions: readonly Precision[], bundles: string): Promise<Table> {
  const head = ['least cosine of embeddings', 'same top token', 'mean Δ log p, absolute'];
  const table = [[...HEAD, ...head]];
  for (const precision of precisions) {
    for (const name of [...CASES, ...T5_CASES]) {
      const golden = name.startsWith('t5') ? readT5Golden(name) : readGolden(name);
      const { cosine, top1, logprob } = await figuresOf(golden, precision, {
        bundles,
        executionProvider: 'cpu',
      });
      const figures = [cosine.toFixed(4), `${(100 * top1).toFixed(0)} %`, logprob.toFixed(3)];
      table.push([precision, name, ...figures]);
    }
  }
  return table;
}

async function comparing(precisions: readonly Precision[], bundles: string): Promise<Table> {
  const head = ['least cosine of ITC, images', 'texts', 'mean Δ ITM, absolute', 'most'];
  const table = [[...HEAD, ...head]];
  for (const precision of precisions) {
    for (const name of RETRIEVAL_CASES) {
      const golden = readRetrievalGolden(name);
      const of = await retrievalFiguresOf(golden, precision, { bundles, executionProvider: 'cpu' });
      const figures = [of.imageCosine, of.textCosine, of.itm, of.itmMost];
      table.push([precision, name, ...figures.map((figure) => figure.toFixed(4))]);
    }
  }
  return table;
}
