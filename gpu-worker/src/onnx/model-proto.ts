/** Encodes an ONNX model (IR version 10) from plain data; messages/onnx.proto has the fields of the format. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from './generated/onnx_pb.ts';

/** Types of values by the names that they have here; the numbers are what `Cast` takes. */
export const ELEMENT_TYPE = {
  float32: DataType.FLOAT,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
  int32: DataType.INT32,
  int64: DataType.INT64,
  float16: DataType.FLOAT16,
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
  /** What the node is for, so that it can be found again; not written to the file. */
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

const IR_VERSION = 10n;
const OPSETS = [
  { domain: '', version: 20n },
  { domain: 'com.microsoft', version: 1n },
];

/** Bytes of a ModelProto. */
export function encodeModel(model: Model): Uint8Array {
  const message = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'blip2-edge',
    graph: graphOf(model),
    opsetImport: OPSETS,
  });
  return toBinary(ModelProtoSchema, message);
}

function graphOf(model: Model): MessageInitShape<typeof GraphProtoSchema> {
  return {
    node: model.nodes.map(nodeOf),
    name: model.name,
    initializer: model.initializers.map(tensorOf),
    input: model.inputs.map(valueInfoOf),
    output: model.outputs.map(valueInfoOf),
  };
}

function nodeOf(node: Node): MessageInitShape<typeof NodeProtoSchema> {
  return {
    input: [...node.inputs],
    output: [...node.outputs],
    name: node.name,
    opType: node.op,
    attribute: Object.entries(node.attributes).map(([name, value]) => attributeOf(name, value)),
    domain: node.domain,
  };
}

function attributeOf(
  name: string,
  value: Attribute,
): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, i: BigInt(value), type: AttributeType.INT };
  if (typeof value === 'string') {
    return { name, s: new TextEncoder().encode(value), type: AttributeType.STRING };
  }
  if ('float' in value) return { name, f: value.float, type: AttributeType.FLOAT };
  if ('graph' in value) return { name, g: graphOf(value.graph), type: AttributeType.GRAPH };
  return { name, ints: value.map(BigInt), type: AttributeType.INTS };
}

function tensorOf(tensor: Initializer): MessageInitShape<typeof TensorProtoSchema> {
  const { name, type, dims } = tensor;
  const common = { name, dims: dims.map(BigInt), dataType: ELEMENT_TYPE[type] };
  if ('data' in tensor) return { ...common, rawData: tensor.data };
  const { file, offset, bytes } = tensor.external;
  return {
    ...common,
    externalData: [
      { key: 'location', value: file },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(bytes) },
    ],
    dataLocation: DataLocation.EXTERNAL,
  };
}

function valueInfoOf({
  name,
  type,
  dims,
}: ValueInfo): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = dims.map((size) => {
    return typeof size === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(size) } }
      : { value: { case: 'dimParam' as const, value: size } };
  });
  return { name, type: { tensorType: { elemType: ELEMENT_TYPE[type], shape: { dim } } } };
}
