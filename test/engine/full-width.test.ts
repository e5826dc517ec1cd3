/** Layers of the published checkpoints, at full width: the result of a row does not depend on the other rows of its batch. */
import { join } from 'node:path';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { loadModels, releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import { openGraph } from '@blip2/gpu-worker/runtime/session';
import { int64Tensor, paddedIds, rowsOf } from '@blip2/gpu-worker/runtime/tensors';
import type { Precision } from '@blip2/shared/precision';
import { Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { DecoderDriver } from '../../tools/eval/decoder-driver.ts';
import { FULL_SIZES } from '../../tools/synthetic-checkpoints/checkpoints.ts';
import { writeCheckpoint } from '../../tools/synthetic-checkpoints/write.ts';
import { expectSame } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const NAMES = ['opt-2.7b', 'flan-t5-xl'] as const;
const QUERIES = 32 * 768;

const folder = temporaryFolder();
beforeAll(async () => {
  for (const name of NAMES) {
    const cut = FULL_SIZES[name]({ layers: 1, vocabulary: 600 });
    await writeCheckpoint(cut, join(folder, name), 'random');
  }
});

async function open(name: (typeof NAMES)[number], precision: Precision) {
  const bundle = await ensureBundle(join(folder, name), { bundles: folder, precision });
  const manifest = await readGenerativeManifest(bundle);
  const sizes = { maxSlots: 4, prefillChunkTokens: 64, prefixCacheBytes: 2 ** 30 };
  const options = { bundle, manifest, executionProvider: PROVIDER, threads: 2, ...sizes };
  const models = await loadModels(options);
  return { models, decoder: new DecoderDriver(models.decoder, options) };
}

/** Prompts of 1, 6 and 9 tokens about images that are not cached. */
function prompts(about: string) {
  return [1, 6, 9].map((length, i) => ({
    imageKey: `${about} ${i}`,
    queryEmbeddings: Float32Array.from({ length: QUERIES }, (_, j) => Math.sin((i + 2) * j)),
    ids: Array.from({ length }, (_, j) => 10 + ((17 * i + 29 * j) % 200)),
  }));
}

describe.each(NAMES)('a row of %s', (name) => {
  it.each(['fp32', 'int8', 'int4'] as const)(
    'in %s is bit for bit the same with any others',
    async (precision) => {
      const { models, decoder } = await open(name, precision);
      const asked = prompts('together');
      const together = await decoder.prefill(0, asked);
      const rows = asked.map(({ ids }, i) => ({
        nextToken: 5 + i,
        cachedPositions: models.decoder.cachedPositions(ids.length),
      }));
      const steps = await decoder.step(rows);
      const two = await decoder.step(rows.slice(0, 2));
      expect(steps[0]!.some((value) => value !== 0)).toBe(true);
      expectSame(two[1]!, steps[1]!);
      for (const about of ['alone', 'together']) {
        // Of "together" the image positions are cached; of "alone" they are computed with the text.
        for (const [i, prompt] of prompts(about).entries()) {
          const [alone] = await decoder.prefill(0, [prompt]);
          expectSame(alone!, together[i]!, `${about} ${i}`);
          const [step] = await decoder.step([rows[i]!]);
          expectSame(step!, steps[i]!, `${about} ${i}, step`);
        }
      }
      decoder.kv.release();
      await releaseModels(models);
    },
  );
});

describe('an instruction of instructblip-flan-t5-xl', () => {
  it.each(['fp32', 'int8'] as const)(
    'in %s is bit for bit the same with any others',
    async (precision) => {
      const checkpoint = join(folder, 'instructblip-flan-t5-xl');
      const cut = FULL_SIZES['instructblip-flan-t5-xl']({ layers: 2, vocabulary: 600 });
      await writeCheckpoint(cut, checkpoint, 'random');
      const bundle = await ensureBundle(checkpoint, { bundles: folder, precision });
      const { graphs, instruction } = await readGenerativeManifest(bundle);
      const session = { executionProvider: PROVIDER, threads: 2 };
      const qformer = await openGraph(bundle, graphs.qformer, session);
      const values = Float32Array.from({ length: 257 * 1408 }, (_, j) => Math.sin(3 * j));
      const embed = async (...texts: number[][]) => {
        const { query_embeddings } = await qformer.run({
          image_features: new Tensor('float32', values, [1, 257, 1408]),
          input_ids: paddedIds(texts, instruction!.pad_token_id),
          lengths: int64Tensor(texts.map(({ length }) => length)),
        });
        return rowsOf(query_embeddings.data as Float32Array, texts.length);
      };
      const texts = [2, 7, 24, 61].map((length) =>
        Array.from({ length }, (_, j) => 10 + ((29 * j + length) % 200)),
      );
      const together = await embed(...texts);
      for (const [i, text] of texts.entries()) {
        const [alone] = await embed(text);
        expectSame(alone!, together[i]!, `${text.length} tokens`);
      }
      await qformer.release();
    },
  );
});
