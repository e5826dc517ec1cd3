/** Finds nodes of an ONNX file by their operator. Field numbers are those of onnx.proto. */
import { fieldsOf } from './protobuf.ts';

const MODEL = { graph: 7 };
const GRAPH = { node: 1 };
const NODE = { name: 3, op: 4, attribute: 5 };
const ATTRIBUTE = { graph: 6 };

/** Names of the nodes with one of the operators, those in the branches of an If or the body of a Scan included. */
export function nodeNames(model: Uint8Array, operators: ReadonlySet<string>): string[] {
  return fieldsOf(model, MODEL.graph).flatMap((graph) => namesIn(graph, operators));
}

function namesIn(graph: Uint8Array, operators: ReadonlySet<string>): string[] {
  return fieldsOf(graph, GRAPH.node).flatMap((node) => {
    const text = (field: number) => Buffer.concat(fieldsOf(node, field)).toString('utf8');
    const inner = fieldsOf(node, NODE.attribute)
      .flatMap((attribute) => fieldsOf(attribute, ATTRIBUTE.graph))
      .flatMap((body) => namesIn(body, operators));
    return operators.has(text(NODE.op)) ? [text(NODE.name), ...inner] : inner;
  });
}
