/** Reads the nodes of an ONNX file. */

import {
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
} from '@blip2/gpu-worker/onnx/generated/onnx_pb';
import { fromBinary } from '@bufbuild/protobuf';

/** All nodes, those in the branches of an If or the body of a Scan included. */
export function readNodes(model: Uint8Array): NodeProto[] {
  return nodesIn(fromBinary(ModelProtoSchema, model).graph);
}

function nodesIn(graph: GraphProto | undefined): NodeProto[] {
  return (graph?.node ?? []).flatMap((node) => {
    return [node, ...node.attribute.flatMap(({ g }) => nodesIn(g))];
  });
}
