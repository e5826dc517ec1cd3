/** Encodes an ONNX model (onnx.proto3, IR version 10) from plain data. Field numbers are those of onnx.proto. */
import { Message } from './protobuf.ts';

/** Values of `TensorProto.DataType`. */
export const ELEMENT_TYPE = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  float16: 10,
} as const;
export type ElementType = keyof typeof ELEMENT_TYPE;

/** A number, or a name for a dimension known only at run time. */
export type Dim = number | string;

export type ValueInfo = { name: string; type: ElementType; dims: readonly Dim[] };

/** Integers stay `int`s: a float attribute is written `{float: 1}`. */
export type Attribute = number | string | readonly number[] | { float: number } | { graph: Model };

export type Node = {
  /** Unique in the model. */
  name: string;
  op: string;
  /** '' is ONNX's own operator set. */
  domain: '' | 'com.microsoft';
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
  /** What whoever built the graph wants to find the node by; the file does not say it. */
  role?: string;
};

export type Initializer = { name: string; type: ElementType; dims: readonly number[] } & (
  | { data: Uint8Array }
  | { external: { file: string; offset: number; bytes: number } }
);

export type Model = {
  name: string;
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
  nodes: readonly Node[];
  initializers: readonly Initializer[];
};

const IR_VERSION = 10;
const OPSETS = { '': 20, 'com.microsoft': 1 } as const;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;
const EXTERNAL = 1;

/** Bytes of a ModelProto. */
export function encodeModel(model: Model): Uint8Array {
  const message = new Message()
    .int(1, IR_VERSION)
    .string(2, 'blip2-edge')
    .message(7, encodeGraph(model));
  for (const [domain, version] of Object.entries(OPSETS)) {
    message.message(8, new Message().string(1, domain).int(2, version));
  }
  return message.finish();
}

function encodeGraph(model: Model): Message {
  const graph = new Message();
  for (const node of model.nodes) graph.message(1, encodeNode(node));
  graph.string(2, model.name);
  for (const initializer of model.initializers) graph.message(5, encodeInitializer(initializer));
  for (const input of model.inputs) graph.message(11, encodeValueInfo(input));
  for (const output of model.outputs) graph.message(12, encodeValueInfo(output));
  return graph;
}

function encodeNode(node: Node): Message {
  const message = new Message();
  for (const input of node.inputs) message.string(1, input);
  for (const output of node.outputs) message.string(2, output);
  message.string(3, node.name).string(4, node.op);
  for (const [key, value] of Object.entries(node.attributes)) {
    message.message(5, encodeAttribute(key, value));
  }
  return message.string(7, node.domain);
}

function encodeAttribute(name: string, value: Attribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === 'number') return message.int(3, value).int(20, ATTRIBUTE_TYPE.int);
  if (typeof value === 'string') return message.string(4, value).int(20, ATTRIBUTE_TYPE.string);
  if ('float' in value) return message.float(2, value.float).int(20, ATTRIBUTE_TYPE.float);
  if ('graph' in value) {
    return message.message(6, encodeGraph(value.graph)).int(20, ATTRIBUTE_TYPE.graph);
  }
  return message.ints(8, value).int(20, ATTRIBUTE_TYPE.ints);
}

function encodeInitializer(tensor: Initializer): Message {
  const message = new Message()
    .ints(1, tensor.dims)
    .int(2, ELEMENT_TYPE[tensor.type])
    .string(8, tensor.name);
  if ('data' in tensor) return message.bytes(9, tensor.data);
  const { file, offset, bytes } = tensor.external;
  for (const [key, value] of Object.entries({ location: file, offset, length: bytes })) {
    message.message(13, new Message().string(1, key).string(2, String(value)));
  }
  return message.int(14, EXTERNAL);
}

function encodeValueInfo({ name, type, dims }: ValueInfo): Message {
  const shape = new Message();
  for (const dim of dims) {
    const encoded = new Message();
    shape.message(1, typeof dim === 'number' ? encoded.int(1, dim) : encoded.string(2, dim));
  }
  const tensor = new Message().int(1, ELEMENT_TYPE[type]).message(2, shape);
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}
