/** A decoder whose keys and values are on a device writes what one on the CPU writes, and gives all memory back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import { type Decoder, loadDecoder } from '@blip2/gpu-worker/engine/models/decoder';
import type { EngineOptions } from '@blip2/gpu-worker/engine/protocol';
import { keepsTensors } from '@blip2/gpu-worker/runtime/session';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxDifference } from '../../tools/eval/difference.ts';
import { PROVIDER } from '../../tools/eval/execution-provider.ts';
import { readGolden, rowOf } from '../../tools/eval/goldens.ts';
import { logitsOf } from '../../tools/eval/logits-of.ts';

/** Of the largest logit. */
const TOLERANCE = 1e-4;

let bundles: string;
beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-device-'));
});
afterAll(() => rm(bundles, { recursive: true, force: true }));

describe.runIf(keepsTensors(PROVIDER)).each(['tied', 't5'])('the decoder of "%s"', (name) => {
  let decoders: Decoder[];
  const golden = readGolden(name);
  let planes: number;
  let most: number;
  beforeAll(async () => {
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const manifest = await readGenerateManifest(bundle);
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
      prefillPiece: 64,
      prefixCacheBytes: 1.5 * imageBytes,
    };
    decoders = [
      await loadDecoder(options),
      await loadDecoder({ ...options, executionProvider: 'cpu' }),
    ];
  });

  /** Does the same with both, and compares the logits. */
  async function both(run: (decoder: Decoder) => Promise<Float32Array[]>): Promise<void> {
    const [found = [], expected = []] = [await run(decoders[0]!), await run(decoders[1]!)];
    for (const [i, row] of expected.entries()) {
      const largest = row.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
      expect(maxDifference(found[i]!, row)).toBeLessThan(TOLERANCE * largest);
    }
  }

  it('goes on right as slots come, part, move and leave, and as texts outgrow the cache', async () => {
    const prompts = golden.generations.slice(0, 4).map(({ image, prompt }) => ({
      key: String(image),
      image: rowOf(golden.queryEmbeddings, image),
      ids: prompt,
    }));
    const past = prompts.map((prompt) => decoders[0]!.positionsOf(prompt));
    const step = async (count: number) => {
      const rows = past.slice(0, count).map((at, i) => ({ token: 3 + ((at + i) % 40), past: at }));
      await both((decoder) => logitsOf((then) => decoder.step(rows, then)));
      for (let i = 0; i < count; i++) past[i]! += 1;
    };
    const copy = (from: number, to: number) => {
      past[to] = past[from]!;
      for (const decoder of decoders) decoder.copy(from, to, { start: 0, end: past[from]! });
    };
    await both((decoder) => logitsOf((then) => decoder.prefill(0, prompts.slice(0, 1), then)));
    await step(1);
    // The second about the image of the first finds its image positions, where they are kept.
    await both((decoder) => logitsOf((then) => decoder.prefill(1, prompts.slice(1), then)));
    await both((decoder) => logitsOf((then) => decoder.prefill(1, prompts.slice(1), then)));
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
    const { prefixes } = device!.memory;
    // An image fits what is kept, and texts about it.
    const kept = device!.memory.deviceTensors - planes;
    expect(kept > 0).toBe(name === 'tied');
    expect(kept).toBeLessThanOrEqual((planes / 2) * (1 + prompts.length));
    for (const decoder of decoders) decoder.reset();
    expect(prefixes).toEqual(decoders[1]!.memory.prefixes);
    await both((decoder) => logitsOf((then) => decoder.prefill(0, prompts, then)));
    for (const decoder of decoders) await decoder.release();
    expect(device!.memory.deviceTensors).toBe(0);
  });
});
