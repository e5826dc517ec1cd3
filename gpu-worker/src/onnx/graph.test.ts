/** Graphs are read back by onnxruntime, whose ONNX parser shares nothing with the writer. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Graph } from './graph.ts';
import { Message } from './protobuf.ts';
import { readNodes } from './read-nodes.ts';
import type { Weight } from './weight.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-graph-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

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
  it('is what onnxruntime runs: names, shapes, attributes of every type, weights in and beside it', async () => {
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

  it('is refused when a weight gives other values than its dims say', async () => {
    const graph = new Graph('wrong');
    graph.output('y', graph.weight('w', { ...weightOf([4], () => 0), dims: [5] }), 'float32', [5]);
    await expect(graph.save(folder)).rejects.toThrow('Weight "w" gave 16 bytes');
  });
});

it('the nodes of a file are found, those in branches too', () => {
  const graph = new Graph('outer');
  const x = graph.input('x', 'float32', ['n']);
  graph.op('Neg', [x]);
  const branches = ['then', 'else'].map((name) => {
    const branch = new Graph(`outer/${name}`);
    branch.output(`${name}/y`, branch.op(name === 'then' ? 'Relu' : 'Abs', [x]), 'float32', ['n']);
    return branch.asBody();
  });
  const isLarge = graph.op('Greater', [graph.op('Relu', [x]), graph.float32(1)]);
  const [then_branch, else_branch] = branches as [(typeof branches)[0], (typeof branches)[0]];
  const chosen = graph.op('If', [isLarge], { attributes: { then_branch, else_branch } });
  graph.output('y', chosen, 'float32', ['n']);
  const found = readNodes(graph.encode()).filter(({ op }) => ['Relu', 'Abs', 'Sin'].includes(op));
  expect(found).toEqual([
    { name: 'outer/Relu_1', op: 'Relu', inputs: ['x'], outputs: ['outer/Relu_1'] },
    { name: 'outer/then/Relu_0', op: 'Relu', inputs: ['x'], outputs: ['outer/then/Relu_0'] },
    { name: 'outer/else/Abs_0', op: 'Abs', inputs: ['x'], outputs: ['outer/else/Abs_0'] },
  ]);
});

describe('a protobuf message', () => {
  it.each<[string, Message, string]>([
    ['a small integer', new Message().int(1, 150), '089601'],
    ['a negative integer', new Message().int(1, -1), '08ffffffffffffffffff01'],
    ['a string', new Message().string(2, 'testing'), '120774657374696e67'],
    ['a message in a message', new Message().message(3, new Message().int(1, 150)), '1a03089601'],
    ['packed integers', new Message().ints(4, [3, 270, 86942]), '2206038e029ea705'],
    ['a float', new Message().float(5, 1), '2d0000803f'],
  ])('writes %s as the format documents it', (_, message, hex) => {
    expect(Buffer.from(message.finish()).toString('hex')).toBe(hex);
  });
});
