/**
 * What is done to keys and values where they are: small graphs over all planes, float32 [slots, heads, capacity, headDim]
 * each, of kernels that onnxruntime 1.30 has for WebGPU (none of their nodes is left to the CPU). A result is another buffer:
 * buffers given to a run to write into came back wrong (ENGINE.md), so a step copies the cache once on the device.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Graph } from '../builder/graph.ts';
import type { KvPlace, KvShape, Range, Room } from './kv-store.ts';
import type { ExecutionProvider } from './messages.ts';
import { keepsTensors } from './session.ts';

/** No key and no value is larger. */
const FINITE = 3e38;

type Planes = readonly Tensor[];
type Sessions = Record<'zeros' | 'arrange' | 'lengthen' | 'write' | 'part', InferenceSession>;

export class KvGraphs {
  readonly #shape: KvShape;
  readonly #sessions: Sessions;

  private constructor(shape: KvShape, sessions: Sessions) {
    this.#shape = shape;
    this.#sessions = sessions;
  }

  /** Results are on the device where there is one. */
  static async open(provider: ExecutionProvider, shape: KvShape): Promise<KvGraphs> {
    const open = (graph: Graph) =>
      InferenceSession.create(graph.encode(), {
        executionProviders: [provider],
        preferredOutputLocation: keepsTensors(provider) ? 'gpu-buffer' : 'cpu',
      });
    return new KvGraphs(shape, {
      zeros: await open(zeros(shape)),
      arrange: await open(arrange(shape)),
      lengthen: await open(lengthen(shape)),
      write: await open(write(shape)),
      part: await open(part(shape)),
    });
  }

  zeros({ slots, positions }: Room): Promise<Tensor[]> {
    const { heads, headDim } = this.#shape;
    return this.#run('zeros', [], { dims: int64([slots, heads, positions, headDim]) });
  }

  /** Slot i becomes what slot `order[i]` is. */
  arrange(planes: Planes, order: readonly number[]): Promise<Tensor[]> {
    return this.#run('arrange', planes, { order: int64(order) });
  }

  /** Zeros after the positions of each slot. */
  lengthen(planes: Planes, by: number): Promise<Tensor[]> {
    return this.#run('lengthen', planes, { pads: int64([0, 0, 0, 0, 0, 0, by, 0]) });
  }

  /** Of each row as many positions as the longest of them has. */
  write(planes: Planes, fresh: Tensor, places: readonly KvPlace[]): Promise<Tensor[]> {
    const { heads } = this.#shape;
    const positions = longest(places);
    const indices = new BigInt64Array(places.length * heads * positions * 3);
    let at = 0;
    for (const { slot, start } of places) {
      for (let head = 0; head < heads; head++) {
        for (let j = 0; j < positions; j++) {
          for (const index of [slot, head, start + j]) indices[at++] = BigInt(index);
        }
      }
    }
    return this.#run('write', planes, {
      fresh,
      rows: int64(places.map(({ row }) => row)),
      end: int64([positions]),
      places: new Tensor('int64', indices, [places.length, heads, positions, 3]),
    });
  }

  /** The positions `start` … `end` − 1 of a row. */
  async part(fresh: Tensor, row: number, { start, end }: Range): Promise<Tensor> {
    const feeds = { fresh, starts: int64([row, start]), ends: int64([row + 1, end]) };
    const [result] = await this.#run('part', [], feeds);
    return result as Tensor;
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
export function longest(places: readonly KvPlace[]): number {
  return Math.max(...places.map(({ length }) => length));
}

function int64(values: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
}

const planeDims = ({ heads, headDim }: KvShape) => ['slots', heads, 'capacity', headDim];
const rowDims = ({ layers, heads, headDim }: KvShape) => {
  return [layers, 2, 'rows', heads, 'positions', headDim];
};

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
  const graph = new Graph('kv-write');
  const fresh = graph.input('fresh', 'float32', rowDims(shape));
  const rows = graph.input('rows', 'int64', ['written']);
  const places = graph.input('places', 'int64', ['written', shape.heads, 'longest', 3]);
  const end = graph.input('end', 'int64', [1]);
  const real = graph.op('Slice', [fresh, graph.int64(0), end, graph.int64(4)]);
  const picked = graph.op('Gather', [real, rows], { attributes: { axis: 2 } });
  const finite = graph.op('Less', [graph.op('Abs', [picked]), graph.float32(FINITE)]);
  const clean = graph.op('Where', [finite, picked, graph.float32(0)]);
  return forEachPlane(graph, shape, (plane, i) => {
    const [layer, part] = [Math.floor(i / 2), i % 2];
    const ends = [graph.int64(layer, part), graph.int64(layer + 1, part + 1)];
    const own = graph.op('Slice', [clean, ...ends, graph.int64(0, 1)]);
    return graph.op('ScatterND', [plane, places, graph.op('Squeeze', [own, graph.int64(0, 1)])]);
  });
}

function part(shape: KvShape): Graph {
  const graph = new Graph('kv-part');
  const fresh = graph.input('fresh', 'float32', rowDims(shape));
  const ends = ['starts', 'ends'].map((name) => graph.input(name, 'int64', [2]));
  const cut = graph.op('Slice', [fresh, ...ends, graph.int64(2, 4)]);
  graph.output('part', cut, 'float32', rowDims(shape));
  return graph;
}
