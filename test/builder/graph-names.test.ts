/** The names in a manifest are those in the graphs' files, read back from there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import type { BundleGraph } from '@blip2/shared/bundle-graphs';
import { InferenceSession } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  readGolden,
  readInstructGolden,
  readRetrievalGolden,
  readT5Golden,
} from '../../tools/eval/goldens.ts';
import { readNodes } from '../support/read-nodes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CHECKPOINTS = {
  opt: readGolden('half').checkpoint,
  t5: readT5Golden('t5').checkpoint,
  qformer: readRetrievalGolden('match').checkpoint,
  instruct: readInstructGolden('instruct-t5').checkpoint,
};

/** Kernels that do all of attention. */
const ATTENTION = ['GroupQueryAttention', 'MultiHeadAttention'];

const bundles = temporaryFolder();

describe.each(['opt', 't5', 'qformer', 'instruct'] as const)(
  'the manifest of a bundle of the kind %s',
  (kind) => {
    let bundle: string;
    let graphs: [name: string, graph: BundleGraph][];
    beforeAll(async () => {
      bundle = await ensureBundle(CHECKPOINTS[kind], { bundles, precision: 'int8' });
      graphs = Object.entries((await readManifest(bundle)).graphs);
    });

    it('names every input and output of every graph, and no others', async () => {
      for (const [name, { model, inputs, outputs }] of graphs) {
        const session = await InferenceSession.create(join(bundle, model));
        expect(Object.values(inputs).flat().sort(), name).toEqual(session.inputNames.toSorted());
        expect(Object.values(outputs).flat().sort(), name).toEqual(session.outputNames.toSorted());
        await session.release();
      }
    });

    it('lists every node of fused attention, those in branches too', async () => {
      for (const [name, { model, nodes }] of graphs) {
        const fused = (await nodesOf(model)).filter(({ opType }) => ATTENTION.includes(opType));
        expect(nodes.fused_attention.toSorted(), name).toEqual(namesOf(fused));
      }
    });

    it('lists every look-up in a table of 16 bits, with the cast behind it', async () => {
      let found = 0;
      for (const [name, { model, nodes }] of graphs) {
        const all = await nodesOf(model);
        const lookups = all.filter(
          ({ opType, input }) => opType === 'Gather' && input[0]!.endsWith('.half'),
        );
        const rows = new Set(lookups.flatMap(({ output }) => output));
        const casts = all.filter(({ opType, input }) => opType === 'Cast' && rows.has(input[0]!));
        expect(casts, name).toHaveLength(lookups.length);
        expect(nodes.half_lookups.toSorted(), name).toEqual(namesOf([...lookups, ...casts]));
        found += lookups.length;
      }
      expect(found).toBe({ opt: 1, t5: 2, qformer: 0, instruct: 2 }[kind]);
    });

    const nodesOf = async (model: string) => readNodes(await readFile(join(bundle, model)));

    const namesOf = (nodes: readonly { name: string }[]) => nodes.map(({ name }) => name).sort();
  },
);
