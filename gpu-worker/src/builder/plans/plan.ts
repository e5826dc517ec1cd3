/** What a family of checkpoints has to say about itself before anything is written. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { Graph } from '../../onnx/graph.ts';
import type { DescribedGraph } from '../graphs/described-graph.ts';

/** Members that only the bundle as a whole knows. */
type Whole = 'format' | 'name' | 'revision' | 'files' | 'license' | 'model_card';

/** The manifest of one family without those. */
type Description<Manifest> = Manifest extends unknown ? Omit<Manifest, Whole> : never;

export type BundlePlan = {
  graphs: readonly Graph[];
  manifest: Description<BundleManifest>;
};

/** Buffers that old checkpoints keep and no layer reads. */
export const IDLE_TENSORS = /\.position_ids$/;

type DescribedGraphs = Record<string, DescribedGraph>;

export function graphsOf(described: DescribedGraphs): Graph[] {
  return Object.values(described).map(({ graph }) => graph);
}

/** What the manifest says of the graphs, by name. */
export function descriptionsOf<Graphs extends DescribedGraphs>(described: Graphs) {
  const entries = Object.entries(described).map(([name, graph]) => [name, graph.description]);
  return Object.fromEntries(entries) as { [Name in keyof Graphs]: Graphs[Name]['description'] };
}
