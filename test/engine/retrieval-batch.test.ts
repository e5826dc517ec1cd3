/** What a text gets from a retrieval bundle hangs on that text alone, to the last bit. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readRetrieveManifest } from '@blip2/gpu-worker/builder/index';
import { openGraph } from '@blip2/gpu-worker/runtime/session';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { expectSame } from '../../tools/eval/difference.ts';
import { PROVIDER } from '../../tools/eval/execution-provider.ts';
import {
  RETRIEVAL_CASES,
  type RetrievalGolden,
  readRetrievalGolden,
  rowOf,
} from '../../tools/eval/goldens.ts';

let bundles: string;
beforeAll(async () => {
  bundles = await mkdtemp(join(tmpdir(), 'blip2-rows-'));
});
afterAll(() => rm(bundles, { recursive: true, force: true }));

describe.each(RETRIEVAL_CASES)('of the random checkpoint "%s", a text', (name) => {
  let golden: RetrievalGolden;
  let sessions: Record<'text' | 'itm', InferenceSession>;
  let maxPositions: number;
  beforeAll(async () => {
    golden = readRetrievalGolden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    maxPositions = (await readRetrieveManifest(bundle)).text.max_positions;
    const place = { bundle, executionProvider: PROVIDER, threads: 2 } as const;
    sessions = {
      text: await openGraph(place, 'text'),
      itm: await openGraph(place, 'itm'),
    };
  });
  afterAll(async () => {
    for (const session of Object.values(sessions ?? {})) await session.release();
  });

  /** Rows of the graph's output. `padding` fills the rows up to `positions`. */
  async function run(
    graph: 'text' | 'itm',
    texts: number[][],
    positions: number,
    padding: (row: number, j: number) => number,
  ): Promise<Float32Array[]> {
    const ids = texts.flatMap((text, row) =>
      Array.from({ length: positions }, (_, j) => text[j] ?? padding(row, j)),
    );
    const lengths = BigInt64Array.from(texts, ({ length }) => BigInt(length));
    const feeds: Record<string, Tensor> = {
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [texts.length, positions]),
      lengths: new Tensor('int64', lengths, [texts.length]),
    };
    if (graph === 'itm') {
      const dims = [1, ...golden.imageFeatures.shape.slice(1)];
      feeds.image_features = new Tensor('float32', rowOf(golden.imageFeatures, 0), dims);
    }
    const results = await sessions[graph].run(feeds);
    const { data, dims } = results[graph === 'itm' ? 'itm_logits' : 'text_embeddings']!;
    const values = data as Float32Array;
    return texts.map((_, row) => rowOf({ shape: [...dims], values }, row));
  }

  const zeros = () => 0;
  const anything = (row: number, j: number) => 4 + ((7 * row + 3 * j) % 30);

  it.each(['text', 'itm'] as const)(
    'gets the same %s alone, padded, and beside others',
    async (graph) => {
      const alone: Float32Array[] = [];
      for (const text of golden.texts) {
        alone.push((await run(graph, [text], text.length, zeros))[0]!);
      }
      for (const [i, text] of golden.texts.entries()) {
        const [padded] = await run(graph, [text], maxPositions, anything);
        expectSame(padded!, alone[i]!);
        const copies = await run(graph, [text, text, text], text.length, zeros);
        for (const copy of copies) expectSame(copy, alone[i]!);
      }
      const together = await run(graph, golden.texts, maxPositions, anything);
      const backwards = await run(graph, golden.texts.toReversed(), maxPositions, zeros);
      for (const [i, expected] of alone.entries()) {
        expectSame(together[i]!, expected);
        expectSame(backwards.at(-1 - i)!, expected);
      }
    },
  );
});
