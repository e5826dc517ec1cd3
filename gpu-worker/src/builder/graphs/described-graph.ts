/** What the manifest says of a graph: how its tensors are called, and where its special nodes are. */
import type { BundleGraph, TensorNames } from '@blip2/shared/bundle-graphs';
import type { Graph } from '../../onnx/graph.ts';

/** Roles of nodes, as the manifest names them. */
export const FUSED_ATTENTION = 'fused_attention';
export const HALF_LOOKUP = 'half_lookups';

/** A graph beside its entry in the manifest. */
export type DescribedGraph<Description extends BundleGraph = BundleGraph> = {
  graph: Graph;
  description: Description;
};

/**
 * Describes a finished graph.
 * @param inputs names of its inputs, by role; @param outputs likewise
 */
export function describeGraph<Inputs extends TensorNames, Outputs extends TensorNames>(
  graph: Graph,
  inputs: Inputs,
  outputs: Outputs,
) {
  const nodes = {
    [FUSED_ATTENTION]: graph.nodesOf(FUSED_ATTENTION),
    [HALF_LOOKUP]: graph.nodesOf(HALF_LOOKUP),
  };
  return { graph, description: { ...graph.files, inputs, outputs, nodes } };
}
