/** A decoder whose keys and values are on a device computes what one on the CPU does, and frees all memory. */
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { loadDecoder } from '@blip2/gpu-worker/engine/models/load-decoder';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import { supportsDeviceTensors } from '@blip2/gpu-worker/runtime/session-options';
import { beforeAll, describe, expect, it } from 'vitest';
import { DecoderDriver } from '../../tools/eval/decoder-driver.ts';
import { readGolden, rowOf } from '../../tools/eval/goldens.ts';
import { maxDifference } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Of the largest logit. */
const TOLERANCE = 1e-4;

const bundles = temporaryFolder();

describe.runIf(supportsDeviceTensors(PROVIDER)).each(['tied', 't5'])(
  'the decoder of "%s"',
  (name) => {
    let decoders: DecoderDriver[];
    const golden = readGolden(name);
    let planes: number;
    let most: number;
    beforeAll(async () => {
      const bundle = await ensureBundle(golden.checkpoint, { bundles });
      const manifest = await readGenerativeManifest(bundle);
      const { layers, heads, head_dim, max_positions } = manifest.decoder;
      most = max_positions - 1;
      const caches = name === 't5' ? 2 : 1;
      planes = 2 * layers * caches;
      const imageBytes = 4 * 2 * layers * heads * head_dim * manifest.num_query_tokens;
      const options: EngineOptions = {
        bundle,
        manifest,
        executionProvider: PROVIDER,
        threads: 2,
        maxSlots: 8,
        prefillChunkTokens: 64,
        prefixCacheBytes: 1.5 * imageBytes,
      };
      decoders = [
        new DecoderDriver(await loadDecoder(options), options),
        new DecoderDriver(await loadDecoder({ ...options, executionProvider: 'cpu' }), options),
      ];
    });

    /** Does the same with both, and compares the logits. */
    async function both(run: (decoder: DecoderDriver) => Promise<Float32Array[]>): Promise<void> {
      const [found = [], expected = []] = [await run(decoders[0]!), await run(decoders[1]!)];
      for (const [i, row] of expected.entries()) {
        const largest = row.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
        expect(maxDifference(found[i]!, row)).toBeLessThan(TOLERANCE * largest);
      }
    }

    it('computes the same as slots come, fork, move and leave, and as sequences outgrow the cache', async () => {
      const prompts = golden.generations.slice(0, 4).map(({ image, prompt }) => ({
        imageKey: String(image),
        queryEmbeddings: rowOf(golden.queryEmbeddings, image),
        ids: prompt,
      }));
      const past = prompts.map(({ ids }) => decoders[0]!.decoder.cachedPositions(ids.length));
      const step = async (count: number) => {
        const rows = past
          .slice(0, count)
          .map((at, i) => ({ nextToken: 3 + ((at + i) % 40), cachedPositions: at }));
        await both((decoder) => decoder.step(rows));
        for (let i = 0; i < count; i++) past[i]! += 1;
      };
      const copy = (from: number, to: number) => {
        past[to] = past[from]!;
        for (const { decoder } of decoders) {
          decoder.copySlot(from, to, { start: 0, end: past[from]! });
        }
      };
      await both((decoder) => decoder.prefill(0, prompts.slice(0, 1)));
      await step(1);
      // The second about the image of the first finds its image positions, where they are cached.
      await both((decoder) => decoder.prefill(1, prompts.slice(1)));
      await both((decoder) => decoder.prefill(1, prompts.slice(1)));
      await step(4);
      copy(0, 4);
      copy(2, 5);
      await step(6);
      copy(5, 1);
      copy(4, 0);
      // T5 has more positions than the cache begins with.
      while (Math.max(...past.slice(0, 3)) < Math.min(most, 70)) await step(3);
      await step(1);
      const [device] = decoders;
      const { prefixes } = device!.kv.memory;
      // An image fits the prefix cache, and texts about it.
      const cached = device!.kv.memory.deviceTensors - planes;
      expect(cached > 0).toBe(name === 'tied');
      expect(cached).toBeLessThanOrEqual((planes / 2) * (1 + prompts.length));
      for (const { kv } of decoders) kv.reset();
      expect(prefixes).toEqual(decoders[1]!.kv.memory.prefixes);
      await both((decoder) => decoder.prefill(0, prompts));
      for (const decoder of decoders) await decoder.release();
      expect(device!.kv.memory.deviceTensors).toBe(0);
    });
  },
);
