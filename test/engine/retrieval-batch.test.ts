/** The results of a text from a retrieval bundle depend on that text alone, to the last bit. */
import { ensureBundle, readRetrievalManifest } from '@blip2/gpu-worker/builder/index';
import { type GraphSession, openGraph } from '@blip2/gpu-worker/runtime/session';
import { int64Tensor } from '@blip2/gpu-worker/runtime/tensors';
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, it } from 'vitest';
import {
  RETRIEVAL_CASES,
  type RetrievalGolden,
  readRetrievalGolden,
  rowOf,
} from '../../tools/eval/goldens.ts';
import { expectSame } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { rowTensor } from '../support/tensors.ts';

const bundles = temporaryFolder();

describe.each(RETRIEVAL_CASES)('of the random checkpoint "%s", a text', (name) => {
  let golden: RetrievalGolden;
  let sessions: { [Name in 'text' | 'itm']: GraphSession<RetrievalManifest['graphs'][Name]> };
  let maxPositions: number;
  beforeAll(async () => {
    golden = readRetrievalGolden(name);
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    const { text, graphs } = await readRetrievalManifest(bundle);
    maxPositions = text.max_positions;
    const options = { executionProvider: PROVIDER, threads: 2 };
    sessions = {
      text: await openGraph(bundle, graphs.text, options),
      itm: await openGraph(bundle, graphs.itm, options),
    };
  });
  afterAll(async () => {
    for (const session of Object.values(sessions ?? {})) await session.release();
  });

  type TextInputs = { input_ids: Tensor; lengths: Tensor };
  const embed = async (inputs: TextInputs) => (await sessions.text.run(inputs)).itc_embeddings;
  const match = async (inputs: TextInputs) => {
    const image_features = rowTensor(golden.imageFeatures, 0);
    return (await sessions.itm.run({ image_features, ...inputs })).itm_logits;
  };

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
    const inputs = {
      input_ids: int64Tensor(ids, [texts.length, positions]),
      lengths: int64Tensor(texts.map(({ length }) => length)),
    };
    const result = await (graph === 'itm' ? match(inputs) : embed(inputs));
    const values = result.data as Float32Array;
    return texts.map((_, row) => rowOf({ shape: [...result.dims], values }, row));
  }

  const zeros = () => 0;
  const anything = (row: number, j: number) => 4 + ((7 * row + 3 * j) % 30);

  it.each(['text', 'itm'] as const)(
    'gets the same %s alone, padded, and with others',
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
