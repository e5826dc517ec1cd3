/** The description of a bundle that `npm run model -- info` prints. */
import { ensureBundle } from '@blip2/gpu-worker/builder/index';
import { describeBundle } from '@blip2/gpu-worker/cli/describe-bundle';
import { describe, expect, it } from 'vitest';
import { readGolden, readRetrievalGolden, readT5Golden } from '../../tools/eval/goldens.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

const infoOf = async ({ checkpoint }: { checkpoint: string }) =>
  describeBundle(await ensureBundle(checkpoint, { bundles }));

describe('the description of a bundle', () => {
  it('has the layers of encoder and decoder of a T5', async () => {
    const rows = await infoOf(readT5Golden('t5'));
    expect(rows).toMatchObject({ kind: 'generate, t5, fp32', encoder: '3 layers of width 46' });
    expect(rows.decoder).toMatch(/^2 layers of width 46, 3 heads of width 16, 109 tokens/);
  });

  it('has the decoder of an OPT, and no encoder', async () => {
    const rows = await infoOf(readGolden('half'));
    expect(rows).toMatchObject({ image: '16 px, patches of 8, 5 tokens of width 32' });
    expect(rows.decoder).toMatch(
      /^2 layers of width 64, 2 heads of width 32, 101 tokens, 40 positions/,
    );
    expect(rows.encoder).toBeUndefined();
  });

  it('has the text side of a retrieval model', async () => {
    const rows = await infoOf(readRetrievalGolden('match'));
    expect(rows).toMatchObject({ text: '61 tokens, 23 positions', itc: 'embeddings of width 19' });
  });
});
