/** An ONNX graph under construction: nodes are added first, weights are read only when it is saved. */
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { naming } from '../file-errors.ts';
import {
  type Attribute,
  type Dim,
  type ElementType,
  encodeModel,
  type Initializer,
  type Model,
  type Node,
  type ValueInfo,
} from './model-proto.ts';
import { elementCount, type Weight } from './weight.ts';

/** Weights up to this are embedded in the model file, as the optimizer folds only constants that are in it. */
const EMBEDDED_BYTES = 1024;
const ELEMENT_BYTES = { float32: 4, float16: 2, uint8: 1, int8: 1 };
const PAGE_BYTES = 4096;
const CACHE_LINE_BYTES = 64;

type OpOptions = Pick<Node, 'role'> & {
  domain?: Node['domain'];
  attributes?: Record<string, Attribute>;
};

/**
 * @example
 * const graph = new Graph('double');
 * const x = graph.input('x', 'float32', ['n']);
 * graph.output('y', graph.op('Add', [x, x]), 'float32', ['n']);
 * await graph.save(folder); // double.onnx and double.bin
 */
export class Graph {
  readonly name: string;
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: ValueInfo[] = [];
  readonly #nodes: Node[] = [];
  readonly #constants = new Map<string, Initializer>();
  readonly #weights = new Map<string, Weight>();
  #values = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Declares an input. @returns its name */
  input(name: string, type: ElementType, dims: readonly Dim[]): string {
    this.#inputs.push({ name, type, dims });
    return name;
  }

  /** Declares an output: `value` under the public name `name`. @returns the name */
  output(name: string, value: string, type: ElementType, dims: readonly Dim[]): string {
    this.#addNode({
      op: 'Identity',
      domain: '',
      inputs: [value],
      outputs: [name],
      attributes: {},
    });
    this.#outputs.push({ name, type, dims });
    return name;
  }

  /** Adds a node of one output. '' leaves an optional input out. */
  op(op: string, inputs: readonly string[], options: OpOptions = {}): string {
    return this.ops(op, inputs, [true], options)[0]!;
  }

  /**
   * Adds a node of several outputs.
   * @param wanted which of the outputs are used; the others are left out and come back as ''
   */
  ops(
    op: string,
    inputs: readonly string[],
    wanted: readonly boolean[],
    { domain = '', attributes = {}, ...role }: OpOptions = {},
  ): string[] {
    const outputs = wanted.map((used) => (used ? `${this.name}/${op}_${this.#values++}` : ''));
    this.#addNode({ op, domain, inputs, outputs, attributes, ...role });
    return outputs;
  }

  /** int64 [values.length]; equal ones are stored once. */
  int64(...values: number[]): string {
    return this.#constant(
      `i64[${values}]`,
      'int64',
      [values.length],
      BigInt64Array.from(values, BigInt),
    );
  }

  /** int32 [values.length]; equal ones are stored once. */
  int32(...values: number[]): string {
    return this.#constant(`i32[${values}]`, 'int32', [values.length], Int32Array.from(values));
  }

  /** float32 [values.length]; equal ones are stored once. */
  float32(...values: number[]): string {
    return this.#constant(`f32[${values}]`, 'float32', [values.length], Float32Array.from(values));
  }

  /** float32 of any shape, under a given name. */
  table(name: string, dims: readonly number[], values: Float32Array): string {
    return this.#constant(name, 'float32', dims, values);
  }

  /** uint8 [values.length]; equal ones are stored once. */
  uint8(...values: number[]): string {
    return this.#constant(`u8[${values}]`, 'uint8', [values.length], Uint8Array.from(values));
  }

  /** A weight under the name of its tensor; asking again for the same name shares it. */
  weight(name: string, weight: Weight): string {
    if (!this.#weights.has(name)) this.#weights.set(name, weight);
    return name;
  }

  /**
   * This graph as the body of an If or a Scan of another. Its nodes may use values of the other graph
   * by name; weights and constants belong to the outermost one.
   */
  asBody(): { graph: Model } {
    if (this.#weights.size + this.#constants.size > 0) {
      throw new Error('a body cannot have weights or constants');
    }
    return { graph: this.#model([]) };
  }

  /** Names of the nodes that have this role, those in bodies included. */
  nodesOf(role: string): string[] {
    return namesOf(role, this.#nodes);
  }

  /** Bytes of a model file; of a graph that has constants only. */
  encode(): Uint8Array {
    if (this.#weights.size > 0) throw new Error('a graph with weights is saved into a folder');
    return encodeModel(this.#model([...this.#constants.values()]));
  }

  /** Bytes of the checkpoint that saving reads. */
  get sourceBytes(): number {
    return this.#weights.values().reduce((total, { sourceBytes }) => total + sourceBytes, 0);
  }

  /** The files that saving writes. */
  get files(): { model: string; weights: string } {
    return { model: `${this.name}.onnx`, weights: `${this.name}.bin` };
  }

  /**
   * Writes the model and its weights into `folder`; holds one weight at a time.
   * @param onBytes called with the checkpoint bytes of each weight that was written
   */
  async save(folder: string, onBytes: (bytes: number) => void = () => {}): Promise<string[]> {
    const { model, weights } = this.files;
    const initializers = [...this.#constants.values()];
    const path = join(folder, weights);
    await using weightsFile = await open(path, 'wx');
    let at = 0;
    for (const [name, weight] of this.#weights) {
      const { dims, type = 'float32' } = weight;
      const bytes = elementCount(dims) * ELEMENT_BYTES[type];
      if (bytes <= EMBEDDED_BYTES) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of weight.chunks()) chunks.push(bytesOf(chunk));
        const data = Buffer.concat(chunks);
        ensureBytes(name, data.length, bytes);
        initializers.push({ name, type, dims, data });
      } else {
        const offset = aligned(at, bytes >= PAGE_BYTES ? PAGE_BYTES : CACHE_LINE_BYTES);
        at = offset;
        for await (const chunk of weight.chunks()) {
          const chunkBytes = bytesOf(chunk);
          await naming(path, () => weightsFile.write(chunkBytes, 0, chunkBytes.length, at));
          at += chunkBytes.length;
        }
        ensureBytes(name, at - offset, bytes);
        const external = { file: weights, offset, bytes };
        initializers.push({ name, type, dims, external });
      }
      onBytes(weight.sourceBytes);
    }
    await naming(path, () => weightsFile.sync());
    const bytes = encodeModel(this.#model(initializers));
    const modelPath = join(folder, model);
    await naming(modelPath, () => writeFile(modelPath, bytes, { flag: 'wx', flush: true }));
    return [model, weights];
  }

  #model(initializers: readonly Initializer[]): Model {
    return {
      name: this.name,
      inputs: this.#inputs,
      outputs: this.#outputs,
      nodes: this.#nodes,
      initializers,
    };
  }

  #addNode(node: Omit<Node, 'name'>): void {
    this.#nodes.push({ name: `${this.name}/${node.op}_${this.#nodes.length}`, ...node });
  }

  #constant(name: string, type: ElementType, dims: readonly number[], data: ArrayBufferView) {
    this.#constants.set(name, { name, type, dims, data: bytesOf(data) });
    return name;
  }
}

function namesOf(role: string, nodes: readonly Node[]): string[] {
  return nodes.flatMap((node) => {
    const bodies = Object.values(node.attributes).map((value) =>
      typeof value === 'object' && 'graph' in value ? namesOf(role, value.graph.nodes) : [],
    );
    return [...(node.role === role ? [node.name] : []), ...bodies.flat()];
  });
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function aligned(offset: number, to: number): number {
  return Math.ceil(offset / to) * to;
}

function ensureBytes(name: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`Weight "${name}" has ${actual} bytes, its dims ask for ${expected}.`);
  }
}
