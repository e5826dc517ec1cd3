/** Reads the nodes of an ONNX file back, for tests. Field numbers are those of onnx.proto. */
import { fieldsOf } from './protobuf.ts';

const MODEL = { graph: 7 };
const GRAPH = { node: 1 };
const NODE = { input: 1, output: 2, name: 3, op: 4, attribute: 5 };
const ATTRIBUTE = { graph: 6 };

export type GraphNode = {
  name: string;
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
};

/** All nodes, those in the branches of an If or the body of a Scan included. */
export function readNodes(model: Uint8Array): GraphNode[] {
  return fieldsOf(model, MODEL.graph).flatMap(nodesIn);
}

function nodesIn(graph: Uint8Array): GraphNode[] {
  return fieldsOf(graph, GRAPH.node).flatMap((node) => {
    const texts = (field: number) =>
      fieldsOf(node, field).map((bytes) => Buffer.from(bytes).toString('utf8'));
    const inner = fieldsOf(node, NODE.attribute)
      .flatMap((attribute) => fieldsOf(attribute, ATTRIBUTE.graph))
      .flatMap(nodesIn);
    const [name = ''] = texts(NODE.name);
    const [op = ''] = texts(NODE.op);
    return [{ name, op, inputs: texts(NODE.input), outputs: texts(NODE.output) }, ...inner];
  });
}
