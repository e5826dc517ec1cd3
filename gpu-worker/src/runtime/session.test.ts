/** A graph is run by the roles of its tensors, whatever their names in the file. */
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { Graph } from '../onnx/graph.ts';
import { openGraph } from './session.ts';

const OPTIONS = { executionProvider: 'cpu', threads: 1 } as const;

/** `sum` = x + the first of the layers; of each layer its negative. */
const DESCRIPTION = {
  model: 'roles.onnx',
  weights: 'roles.bin',
  inputs: { image: 'x', layers: ['in.0', 'in.1'] },
  outputs: { sum: 'y', negatives: ['out.0', 'out.1'] },
  nodes: { fused_attention: [], half_lookups: [] },
};

const folder = temporaryFolder();
beforeAll(async () => {
  const graph = new Graph('roles');
  // Declared the other way round than their roles are listed.
  const layers = ['in.1', 'in.0'].map((name) => graph.input(name, 'float32', ['n'])).reverse();
  const x = graph.input('x', 'float32', ['n']);
  for (const i of [1, 0]) graph.output(`out.${i}`, graph.op('Neg', [layers[i]!]), 'float32', ['n']);
  graph.output('y', graph.op('Add', [x, layers[0]!]), 'float32', ['n']);
  await graph.save(folder);
});

const tensorOf = (...values: number[]) => new Tensor('float32', values, [values.length]);
const valuesOf = (tensor: Tensor) => [...(tensor.data as Float32Array)];

describe('a graph session', () => {
  it('accepts and returns a tensor for each role, or one for each layer', async () => {
    const session = await openGraph(folder, DESCRIPTION, OPTIONS);
    const layers = [tensorOf(10, 20), tensorOf(30, 40)];
    const { sum, negatives } = await session.run({ image: tensorOf(1, 2), layers });
    expect(valuesOf(sum)).toEqual([11, 22]);
    expect(negatives.map(valuesOf)).toEqual([
      [-10, -20],
      [-30, -40],
    ]);
    await session.release();
  });

  it('names the tensor of a layer that is missing', async () => {
    const session = await openGraph(folder, DESCRIPTION, OPTIONS);
    const run = session.run({ image: tensorOf(1), layers: [tensorOf(1)] });
    await expect(run).rejects.toThrow('in.1');
    await session.release();
  });

  it('names the execution provider when the model cannot be loaded', async () => {
    const opening = openGraph(join(folder, 'nowhere'), DESCRIPTION, OPTIONS);
    await expect(opening).rejects.toThrow(/"cpu" could not load the model.*PROVIDER=cpu/);
  });
});
