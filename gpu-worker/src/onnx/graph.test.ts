/** Graphs are read back by onnxruntime, whose ONNX parser shares nothing with the writer. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, isFieldSet } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { AttributeProtoSchema, ModelProtoSchema, NodeProtoSchema } from './generated/onnx_pb.ts';
import { Graph } from './graph.ts';
import type { Weight } from './weight.ts';

const folder = temporaryFolder('test');

function weightOf(dims: number[], value: (i: number) => number): Weight {
  const length = dims.reduce((a, b) => a * b, 1);
  return {
    dims,
    sourceBytes: length * 4,
    async *chunks() {
      const values = Float32Array.from({ length }, (_, i) => value(i));
      yield values.subarray(0, 1);
      yield values.subarray(1);
    },
  };
}

describe('a saved graph', () => {
  it('runs in onnxruntime: names, shapes, attributes of every type, weights inside and in a file', async () => {
    const graph = new Graph('sum');
    const x = graph.input('x', 'float32', ['batch', 64]);
    const odd = graph.weight(
      'odd',
      weightOf([3], (i) => i),
    );
    const large = graph.weight(
      'large',
      weightOf([64, 65], (i) => i % 7),
    );
    const small = graph.weight(
      'small',
      weightOf([65], (i) => i / 10),
    );
    const product = graph.op('MatMul', [x, large]);
    const sum = graph.op('Add', [product, small]);
    const leaky = graph.op('LeakyRelu', [sum], { attributes: { alpha: { float: -0.5 } } });
    const back = graph.op('Transpose', [leaky], { attributes: { perm: [1, 0] } });
    const parts = graph.ops('Split', [back, graph.int64(60, 5)], [true, true], {
      attributes: { axis: 0 },
    });
    graph.output('y', parts[1]!, 'float32', [5, 'batch']);
    graph.output('odd_out', odd, 'float32', [3]);
    let reported = 0;
    const files = await graph.save(folder, (bytes) => {
      reported += bytes;
    });
    expect(files).toEqual(['sum.onnx', 'sum.bin']);
    expect(reported).toBe(graph.sourceBytes);
    expect((await stat(join(folder, 'sum.bin'))).size).toBe(64 * 65 * 4);

    const session = await InferenceSession.create(join(folder, 'sum.onnx'));
    expect(session.inputMetadata).toMatchObject([
      { name: 'x', type: 'float32', shape: ['batch', 64] },
    ]);
    const values = Float32Array.from({ length: 128 }, (_, i) => (i % 5) - 3);
    const { y, odd_out } = await session.run({ x: new Tensor('float32', values, [2, 64]) });
    const expected: number[] = [];
    for (let column = 60; column < 65; column++) {
      for (let row = 0; row < 2; row++) {
        let dot = column / 10;
        for (let k = 0; k < 64; k++) dot += values[row * 64 + k]! * ((k * 65 + column) % 7);
        expected.push(dot < 0 ? dot * -0.5 : dot);
      }
    }
    expect(y!.dims).toEqual([5, 2]);
    (y!.data as Float32Array).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 3);
    });
    expect([...(odd_out!.data as Float32Array)]).toEqual([0, 1, 2]);
    await session.release();
  });

  it('is refused when a weight has fewer values than its dims', async () => {
    const graph = new Graph('wrong');
    graph.output('y', graph.weight('w', { ...weightOf([4], () => 0), dims: [5] }), 'float32', [5]);
    await expect(graph.save(folder)).rejects.toThrow(
      'Weight "w" has 16 bytes, its dims ask for 20',
    );
  });
});

it('a role has the names that its nodes have in the file, those in branches included', () => {
  const graph = new Graph('outer');
  const x = graph.input('x', 'float32', ['n']);
  graph.op('Neg', [x]);
  const branches = ['then', 'else'].map((name) => {
    const branch = new Graph(`outer/${name}`);
    const y = branch.op(name === 'then' ? 'Relu' : 'Abs', [x], { role: 'activation' });
    branch.output(`${name}/y`, y, 'float32', ['n']);
    return branch.asBody();
  });
  const active = graph.op('Relu', [x], { role: 'activation' });
  const isLarge = graph.op('Greater', [active, graph.float32(1)]);
  const [then_branch, else_branch] = branches as [(typeof branches)[0], (typeof branches)[0]];
  const chosen = graph.op('If', [isLarge], { attributes: { then_branch, else_branch } });
  graph.output('y', chosen, 'float32', ['n']);

  const names = ['outer/Relu_1', 'outer/then/Relu_0', 'outer/else/Abs_0'];
  expect(graph.nodesOf('activation')).toEqual(names);
  expect(graph.nodesOf('attention')).toEqual([]);
  const file = fromBinary(ModelProtoSchema, graph.encode());
  const [, relu, , choice] = file.graph!.node;
  const inBranches = choice!.attribute.map(({ g }) => g!.node[0]!.name);
  expect([relu!.name, ...inBranches]).toEqual(names);
});

it('a negative integer, a zero and an empty text are written, not left out', async () => {
  const graph = new Graph('values');
  const x = graph.input('x', 'float32', [2, 3]);
  const rows = graph.op('Concat', [x, x], { attributes: { axis: 0 } });
  const columns = graph.op('Concat', [x, x], { attributes: { axis: -1 } });
  graph.output('rows', rows, 'float32', [4, 3]);
  graph.output('columns', columns, 'float32', [2, 6]);
  const [first, second] = fromBinary(ModelProtoSchema, graph.encode()).graph!.node;
  expect([first, second].map((node) => node!.attribute[0]!.i)).toEqual([0n, -1n]);
  expect(isFieldSet(first!.attribute[0]!, AttributeProtoSchema.field.i)).toBe(true);
  expect(isFieldSet(first!, NodeProtoSchema.field.domain)).toBe(true);

  const session = await InferenceSession.create(graph.encode());
  const values = Float32Array.of(0, 1, 2, 3, 4, 5);
  const result = await session.run({ x: new Tensor('float32', values, [2, 3]) });
  expect(result.rows!.dims).toEqual([4, 3]);
  expect([...(result.columns!.data as Float32Array)]).toEqual([0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]);
  await session.release();
});
