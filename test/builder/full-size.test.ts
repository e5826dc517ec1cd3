/** Checkpoints with the names and shapes of the published ones can be planned, without a byte of weights. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '@blip2/gpu-worker/builder/checkpoint/open-checkpoint';
import { expectKnownConfig } from '@blip2/gpu-worker/builder/config/check-keys';
import { planGenerative } from '@blip2/gpu-worker/builder/plans/generative-plan';
import { planRetrieval } from '@blip2/gpu-worker/builder/plans/retrieval-plan';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { describe, expect, it } from 'vitest';
import { FULL_SIZES, type FullSizeName } from '../../tools/synthetic-checkpoints/checkpoints.ts';
import { writeCheckpoint } from '../../tools/synthetic-checkpoints/write.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();

/** Of images of 364 px beside those of 224. */
const MORE_POSITIONS = (677 - 257) * 1408;

/** Words, positions, and the feed-forward layers of the text in each of twelve blocks. */
const INSTRUCTION = (30523 + 512) * 768 + 12 * (2 * 768 * 3072 + 3072 + 3 * 768);

/** Parameters as BLIP-2's own modules count them, tied ones once. */
const PARAMETERS: Record<FullSizeName, number> = {
  'opt-2.7b': 3_744_761_856,
  'opt-2.7b-coco': 3_744_761_856 + MORE_POSITIONS,
  'opt-6.7b': 7_752_869_376,
  'opt-6.7b-coco': 7_752_869_376 + MORE_POSITIONS,
  'flan-t5-xl': 3_942_446_592,
  'flan-t5-xl-coco': 3_942_446_592 + MORE_POSITIONS,
  'flan-t5-xxl': 12_229_596_672,
  'instructblip-flan-t5-xl': 3_942_446_592 + INSTRUCTION,
  'instructblip-flan-t5-xxl': 12_229_596_672 + INSTRUCTION,
  'itm-vit-g': 1_172_032_258,
  'itm-vit-g-coco': 1_172_032_258 + MORE_POSITIONS,
};

describe.each(Object.keys(FULL_SIZES) as FullSizeName[])('a full-size %s', (name) => {
  const full = FULL_SIZES[name]();

  it('has as many parameters as the published one', () => {
    const count = full.tensors.reduce(
      (sum, [, shape]) => sum + shape.reduce((product, dim) => product * dim, 1),
      0,
    );
    expect(count).toBe(PARAMETERS[name]);
    expect(new Set(full.tensors.map(([tensor]) => tensor)).size).toBe(full.tensors.length);
  });

  it.each(['fp32', 'int8', 'int4'] as const)(
    'is planned in %s, with all of its weights',
    async (precision) => {
      const checkpoint = join(folder, name);
      await writeCheckpoint(full, checkpoint, 'holes');
      const [kind, plan] = name.startsWith('itm')
        ? (['retrieve', planRetrieval] as const)
        : (['generate', planGenerative] as const);
      await expectKnownConfig(checkpoint, kind, []);
      const { graphs, manifest } = await plan(
        checkpoint,
        precision,
        (await openCheckpoint(checkpoint)).tensors,
      );
      const image_tokens = name.endsWith('-coco') ? 677 : 257;
      expect(manifest).toMatchObject({ image_tokens, qformer_hidden: 768, precision });
      // OPT ends with a line.
      if (name.startsWith('opt')) expect(manifest).toMatchObject({ eos_token_ids: [50118] });
      const read = graphs.reduce((sum, { sourceBytes }) => sum + sourceBytes, 0);
      expect(read).toBeGreaterThan(2 * 0.99 * PARAMETERS[name]);
    },
  );

  it('has a tokenizer of its family and size, which encodes letters', async () => {
    await writeCheckpoint(full, join(folder, name), 'holes');
    const json = await readFile(join(folder, name, 'tokenizer.json'), 'utf8');
    expect(Object.keys(JSON.parse(json).model.vocab)).toHaveLength(full.vocabulary);
    const { type, encode } = createTokenizer(json);
    const family = (['opt', 'flan-t5', 'itm'] as const).find((part) => name.includes(part))!;
    expect(type).toBe({ opt: 'BPE', 'flan-t5': 'Unigram', itm: 'WordPiece' }[family]);
    const ids = encode('dog');
    expect(ids).toHaveLength(3);
    // Those of control tokens come first.
    expect(Math.min(...ids)).toBeGreaterThan(4);
  });
});
