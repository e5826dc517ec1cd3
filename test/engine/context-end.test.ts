/** The embedded model at the end of its context: prompts of unlike lengths, some of them cached, in one pass. */
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { loadDecoder } from '@blip2/gpu-worker/engine/models/load-decoder';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import { expect, it } from 'vitest';
import { DecoderDriver } from '../../tools/eval/decoder-driver.ts';
import { expectSame } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

it('a conversation that nearly fills the context and a new question fit one pass, with the numbers of each alone', async () => {
  const checkpoint = new URL('../../gpu-worker/checkpoints/generate', import.meta.url).pathname;
  const bundle = await ensureBundle(checkpoint, { bundles });
  const manifest = await readGenerativeManifest(bundle);
  const open = async (prefixCacheBytes: number) => {
    const options: EngineOptions = {
      ...{ bundle, manifest, executionProvider: PROVIDER, threads: 1 },
      ...{ maxSlots: 4, prefillChunkTokens: 64, prefixCacheBytes },
    };
    return new DecoderDriver(await loadDecoder(options), options);
  };
  const [cached, fresh] = [await open(2 ** 27), await open(0)];
  const { max_positions } = manifest.decoder;
  const width = manifest.num_query_tokens * manifest.qformer_hidden;
  const about = (image: number, length: number) => ({
    imageKey: String(image),
    queryEmbeddings: Float32Array.from({ length: width }, (_, i) => Math.sin((image + 2) * i)),
    ids: Array.from({ length }, (_, i) => 5 + ((7 * i) % 90)),
  });
  const room = max_positions - manifest.num_query_tokens - 1;
  for (const [left, length] of [
    [0, 60],
    [1, 25],
    [7, 59],
  ] as const) {
    await cached.prefill(0, [about(left, room - left - 3)]);
    const prompts = [about(left, room - left), about(10 + left, length), about(left, 30)];
    const together = await cached.prefill(0, prompts);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await fresh.prefill(0, [prompt]);
      expectSame(together[i]!, alone!);
    }
  }
  expect(cached.kv.memory.prefixes?.hits).toBe(3);
  await cached.release();
  await fresh.release();
});
