/** Fewer bits against fp32 on the random checkpoints of the parity tests: the worst there is for few bits. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Precision } from '@blip2/shared/bundle-manifest';
import { CASES, readGolden, readT5Golden, T5_CASES } from '../../test/parity/golden.ts';
import { figuresOf } from '../../test/parity/precision-figures.ts';

/** A table, its head first; nothing but the head where `fp32` is all that is asked for. */
export async function precisionRows(precisions: readonly Precision[]): Promise<string[][]> {
  const bundles = await mkdtemp(join(tmpdir(), 'blip2-eval-'));
  const rows: string[][] = [];
  try {
    for (const precision of precisions) {
      if (precision === 'fp32') continue;
      for (const name of [...CASES, ...T5_CASES]) {
        const golden = name.startsWith('t5') ? readT5Golden(name) : readGolden(name);
        const { cosine, top1, logprob } = await figuresOf(golden, precision, bundles);
        rows.push([
          precision,
          name,
          cosine.toFixed(4),
          `${(100 * top1).toFixed(0)} %`,
          logprob.toFixed(3),
        ]);
      }
    }
  } finally {
    await rm(bundles, { recursive: true, force: true });
  }
  const head = [
    'against fp32',
    'random checkpoint',
    'least cosine of embeddings',
    'same top token',
    'mean Δ log p, absolute',
  ];
  return [head, ...rows];
}
