/** One layer of the published checkpoints, at their own widths: the kernels of the real ones, for whom nobody in a batch exists. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import {
  type EngineParts,
  loadParts,
  releaseParts,
} from '@blip2/gpu-worker/engine/models/load-models';
import type { Precision } from '@blip2/shared/bundle-manifest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSame } from '../../tools/eval/difference.ts';
import { PROVIDER } from '../../tools/eval/execution-provider.ts';
import { logitsOf } from '../../tools/eval/logits-of.ts';
import { FULL_SIZES } from '../../tools/synthetic-checkpoints/checkpoints.ts';
import { writeCheckpoint } from '../../tools/synthetic-checkpoints/write.ts';

const NAMES = ['opt-2.7b', 'flan-t5-xl'] as const;
const QUERIES = 32 * 768;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-full-width-'));
  for (const name of NAMES) {
    const cut = FULL_SIZES[name]({ layers: 1, vocabulary: 600 });
    await writeCheckpoint(cut, join(folder, name), 'random');
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function open(name: (typeof NAMES)[number], precision: Precision): Promise<EngineParts> {
  const bundle = await ensureBundle(join(folder, name), { bundles: folder, precision });
  const manifest = await readGenerateManifest(bundle);
  const options = { bundle, manifest, executionProvider: PROVIDER, threads: 2 } as const;
  return loadParts({ ...options, maxSlots: 4, prefillPiece: 64, prefixCacheBytes: 2 ** 30 });
}

/** Prompts about images that nobody has asked about, of 1, 6 and 9 tokens. */
function prompts(about: string) {
  return [1, 6, 9].map((length, i) => ({
    key: `${about} ${i}`,
    image: Float32Array.from({ length: QUERIES }, (_, j) => Math.sin((i + 2) * j)),
    ids: Array.from({ length }, (_, j) => 10 + ((17 * i + 29 * j) % 200)),
  }));
}

const copied = (rows: readonly Float32Array[]) => rows.map((row) => row.slice());

describe.each(NAMES)('a row of %s', (name) => {
  it.each(['fp32', 'int8', 'int4'] as const)(
    'in %s is bit for bit the same with any others',
    async (precision) => {
      const { decoder, ...parts } = await open(name, precision);
      const asked = prompts('together');
      const together = copied(await logitsOf((then) => decoder.prefill(0, asked, then)));
      const rows = asked.map((prompt, i) => ({ token: 5 + i, past: decoder.positionsOf(prompt) }));
      const steps = copied(await logitsOf((then) => decoder.step(rows, then)));
      const two = copied(await logitsOf((then) => decoder.step(rows.slice(0, 2), then)));
      expect(steps[0]!.some((value) => value !== 0)).toBe(true);
      expectSame(two[1]!, steps[1]!);
      for (const about of ['alone', 'together']) {
        // Of "together" the image positions are kept; of "alone" they are computed with the text.
        for (const [i, prompt] of prompts(about).entries()) {
          const [alone] = copied(await logitsOf((then) => decoder.prefill(0, [prompt], then)));
          expectSame(alone!, together[i]!, `${about} ${i}`);
          const [step] = copied(await logitsOf((then) => decoder.step([rows[i]!], then)));
          expectSame(step!, steps[i]!, `${about} ${i}, step`);
        }
      }
      await releaseParts({ decoder, ...parts });
    },
  );
});
