/**
 * Operations on keys and values where they are stored: small graphs over all planes, float32 [slots, heads, capacity,
 * headDim] each, of kernels that onnxruntime 1.30 has for WebGPU (none of their nodes falls to the CPU). A result is
 * another buffer: buffers given to a run to write into came back wrong, so a step copies the cache once on the device.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Graph } from '../../onnx/graph.ts';
import type { ExecutionProvider } from '../../runtime/session-options.ts';
import { supportsDeviceTensors } from '../../runtime/session-options.ts';
import { int64Tensor } from '../../runtime/tensors.ts';
import type { Capacity, KvSegment, KvShape, Range, SlotMapping } from './kv-cache.ts';

/** No key and no value is larger. */
const FINITE = 3e38;

type Planes = readonly Tensor[];
type Sessions = Record<
  'zeros' | 'arrange' | 'lengthen' | 'write' | 'slice' | 'join' | 'broken',
  InferenceSession
>;

/** A session for each operation. */
export class KvKernels {
  readonly #shape: KvShape;
  readonly #sessions: Sessions;

  private constructor(shape: KvShape, sessions: Sessions) {
    this.#shape = shape;
    this.#sessions = sessions;
  }

  /** Results are on the device where there is one. */
  static async open(provider: ExecutionProvider, shape: KvShape): Promise<KvKernels> {
    const onDevice = supportsDeviceTensors(provider) ? 'gpu-buffer' : 'cpu';
    const open = (graph: Graph, preferredOutputLocation: 'gpu-buffer' | 'cpu' = onDevice) =>
      InferenceSession.create(graph.encode(), {
        executionProviders: [provider],
        preferredOutputLocation,
      });
    return new KvKernels(shape, {
      zeros: await open(zeros(shape)),
      arrange: await open(arrange(shape)),
      lengthen: await open(lengthen(shape)),
      write: await open(write(shape)),
      slice: await open(slice(shape)),
      join: await open(join(shape)),
      broken: await open(broken(shape), 'cpu'),
    });
  }

  zeros({ slots, positions }: Capacity): Promise<Tensor[]> {
    const { heads, headDim } = this.#shape;
    return this.#run('zeros', [], { dims: int64Tensor([slots, heads, positions, headDim]) });
  }

  /** Slot i becomes what slot `order[i]` is. */
  arrange(planes: Planes, order: readonly number[]): Promise<Tensor[]> {
    return this.#run('arrange', planes, { order: int64Tensor(order) });
  }

  /** Zeros after the positions of each slot. */
  lengthen(planes: Planes, by: number): Promise<Tensor[]> {
    return this.#run('lengthen', planes, { pads: int64Tensor([0, 0, 0, 0, 0, 0, by, 0]) });
  }

  /** Puts rows into slots: of each as many positions as the longest of them has. */
  write(
    planes: Planes,
    fresh: readonly Tensor[],
    mappings: readonly SlotMapping[],
  ): Promise<Tensor[]> {
    const { heads } = this.#shape;
    const positions = longest(mappings);
    const indices = new BigInt64Array(mappings.length * positions * heads * 3);
    let at = 0;
    for (const { slot, start } of mappings) {
      for (let j = 0; j < positions; j++) {
        for (let head = 0; head < heads; head++) {
          for (const index of [slot, head, start + j]) indices[at++] = BigInt(index);
        }
      }
    }
    return this.#run('write', planes, {
      ...freshFeeds(fresh),
      rows: int64Tensor(mappings.map(({ row }) => row)),
      end: int64Tensor([positions]),
      indices: new Tensor('int64', indices, [mappings.length, positions, heads, 3]),
    });
  }

  /** Of each layer the positions `start` … `end` − 1 of a row. */
  slice(fresh: readonly Tensor[], row: number, { start, end }: Range): Promise<Tensor[]> {
    const [starts, ends] = [int64Tensor([row, start]), int64Tensor([row + 1, end])];
    return this.#run('slice', [], { ...freshFeeds(fresh), starts, ends });
  }

  /** Of each layer one row: the second segment behind the first. */
  join(first: KvSegment, second: KvSegment): Promise<Tensor[]> {
    const feeds = Object.entries({ first, second }).map(([name, { values, length }]) => ({
      ...Object.fromEntries(values.layers.map((tensor, layer) => [`${name}.${layer}`, tensor])),
      [`${name}_ends`]: int64Tensor([1, length]),
    }));
    return this.#run('join', [], Object.assign({}, ...feeds));
  }

  /**
   * How many numbers of each row are NaN or infinite, in its first positions: read back, a number a row.
   * @param lengths positions of each row that are looked at
   */
  async countBroken(
    fresh: readonly Tensor[],
    lengths: readonly number[],
  ): Promise<ArrayLike<number>> {
    const [rows = 0, positions = 0] = fresh[0]?.dims ?? [];
    const real = Float32Array.from({ length: rows * positions }, (_, i) => {
      return i % positions < (lengths[Math.floor(i / positions)] ?? 0) ? 1 : 0;
    });
    const [counts] = await this.#run('broken', [], {
      ...freshFeeds(fresh),
      real: new Tensor('float32', real, [rows, positions, 1]),
    });
    return counts?.data as Float32Array;
  }

  async release(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  async #run(
    name: keyof Sessions,
    planes: Planes,
    feeds: Record<string, Tensor>,
  ): Promise<Tensor[]> {
    const session = this.#sessions[name];
    const named = planes.map((plane, i) => [`plane.${i}`, plane] as const);
    const results = await session.run({ ...feeds, ...Object.fromEntries(named) });
    return session.outputNames.map((output) => results[output] as Tensor);
  }
}

/** Positions that are real in one of the rows at the least. */
export function longest(mappings: readonly SlotMapping[]): number {
  return Math.max(...mappings.map(({ length }) => length));
}

const planeDims = ({ heads, headDim }: KvShape) => ['slots', heads, 'capacity', headDim];
const rowDims = ({ heads, headDim }: KvShape) => ['rows', 'positions', 2 * heads * headDim];

const freshFeeds = (fresh: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(fresh.map((tensor, layer) => [`fresh.${layer}`, tensor]));

/** The same to every plane. */
function forEachPlane(
  graph: Graph,
  shape: KvShape,
  change: (plane: string, index: number) => string,
): Graph {
  for (let i = 0; i < 2 * shape.layers; i++) {
    const plane = graph.input(`plane.${i}`, 'float32', planeDims(shape));
    graph.output(`changed.${i}`, change(plane, i), 'float32', planeDims(shape));
  }
  return graph;
}

function zeros(shape: KvShape): Graph {
  const graph = new Graph('kv-zeros');
  const dims = graph.input('dims', 'int64', [4]);
  for (let i = 0; i < 2 * shape.layers; i++) {
    const plane = graph.op('Expand', [graph.float32(0), dims]);
    graph.output(`zeros.${i}`, plane, 'float32', planeDims(shape));
  }
  return graph;
}

function arrange(shape: KvShape): Graph {
  const graph = new Graph('kv-arrange');
  const order = graph.input('order', 'int64', ['wanted']);
  const attributes = { axis: 0 };
  return forEachPlane(graph, shape, (plane) => graph.op('Gather', [plane, order], { attributes }));
}

function lengthen(shape: KvShape): Graph {
  const graph = new Graph('kv-lengthen');
  const pads = graph.input('pads', 'int64', [8]);
  return forEachPlane(graph, shape, (plane) => graph.op('Pad', [plane, pads]));
}

function write(shape: KvShape): Graph {
  const { heads, headDim } = shape;
  const graph = new Graph('kv-write');
  const rows = graph.input('rows', 'int64', ['written']);
  const indices = graph.input('indices', 'int64', ['written', 'longest', heads, 3]);
  const end = graph.input('end', 'int64', [1]);
  /** Of a layer, keys and values of what is written, [written, longest, heads, headDim] each. */
  const partsOf = (layer: number): string[] => {
    const fresh = graph.input(`fresh.${layer}`, 'float32', rowDims(shape));
    const real = graph.op('Slice', [fresh, graph.int64(0), end, graph.int64(1)]);
    const picked = graph.op('Gather', [real, rows], { attributes: { axis: 0 } });
    const finite = graph.op('Less', [graph.op('Abs', [picked]), graph.float32(FINITE)]);
    const clean = graph.op('Where', [finite, picked, graph.float32(0)]);
    const parts = graph.ops('Split', [clean], [true, true], {
      attributes: { axis: -1, num_outputs: 2 },
    });
    return parts.map((part) => graph.op('Reshape', [part, graph.int64(0, 0, heads, headDim)]));
  };
  const parts = Array.from({ length: shape.layers }, (_, layer) => partsOf(layer)).flat();
  return forEachPlane(graph, shape, (plane, i) =>
    graph.op('ScatterND', [plane, indices, parts[i] as string]),
  );
}

function slice(shape: KvShape): Graph {
  const graph = new Graph('kv-slice');
  const ends = ['starts', 'ends'].map((name) => graph.input(name, 'int64', [2]));
  for (let layer = 0; layer < shape.layers; layer++) {
    const fresh = graph.input(`fresh.${layer}`, 'float32', rowDims(shape));
    const cut = graph.op('Slice', [fresh, ...ends, graph.int64(0, 1)]);
    graph.output(`slice.${layer}`, cut, 'float32', rowDims(shape));
  }
  return graph;
}

function join(shape: KvShape): Graph {
  const graph = new Graph('kv-join');
  const names = ['first', 'second'];
  const ends = names.map((name) => graph.input(`${name}_ends`, 'int64', [2]));
  const dims = (name: string) => [`${name}_rows`, `${name}_positions`, rowDims(shape)[2] as number];
  for (let layer = 0; layer < shape.layers; layer++) {
    const parts = names.map((name, i) => {
      const values = graph.input(`${name}.${layer}`, 'float32', dims(name));
      const end = ends[i] as string;
      return graph.op('Slice', [values, graph.int64(0, 0), end, graph.int64(0, 1)]);
    });
    const row = graph.op('Concat', parts, { attributes: { axis: 1 } });
    graph.output(`join.${layer}`, row, 'float32', rowDims(shape));
  }
  return graph;
}

function broken(shape: KvShape): Graph {
  const graph = new Graph('kv-broken');
  const real = graph.input('real', 'float32', ['rows', 'positions', 1]);
  const counts = Array.from({ length: shape.layers }, (_, layer) => {
    const fresh = graph.input(`fresh.${layer}`, 'float32', rowDims(shape));
    const finite = graph.op('Less', [graph.op('Abs', [fresh]), graph.float32(FINITE)]);
    const wrong = graph.op('Where', [finite, graph.float32(0), real]);
    const attributes = { keepdims: 0 };
    return graph.op('ReduceSum', [wrong, graph.int64(1, 2)], { attributes });
  });
  const total = counts.reduce((sum, count) => graph.op('Add', [sum, count]));
  graph.output('counts', total, 'float32', ['rows']);
  return graph;
}
