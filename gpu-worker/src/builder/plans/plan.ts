/** What is known of a bundle before anything is written: its graphs, and most of its manifest. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { Graph } from '../../onnx/graph.ts';
import type { DescribedGraph } from '../graphs/described-graph.ts';

/** Members of a manifest that are known once all files are written. */
type WrittenLast =
  | 'format'
  | 'name'
  | 'revision'
  | 'digest'
  | 'files'
  | 'license'
  | 'model_card'
  | 'outside_training';

/** The manifest of one family without those. */
type PlannedManifest<Manifest> = Manifest extends unknown ? Omit<Manifest, WrittenLast> : never;

export type BundlePlan = {
  graphs: readonly Graph[];
  manifest: PlannedManifest<BundleManifest>;
};

/** Buffers that old checkpoints hold and no layer reads. */
export const IGNORED_TENSORS = /\.position_ids$/;

type DescribedGraphs = Record<string, DescribedGraph>;

export function graphsOf(described: DescribedGraphs): Graph[] {
  return Object.values(described).map(({ graph }) => graph);
}

/** What the manifest says of the graphs, by name. */
export function descriptionsOf<Graphs extends DescribedGraphs>(described: Graphs) {
  const entries = Object.entries(described).map(([name, graph]) => [name, graph.description]);
  return Object.fromEntries(entries) as { [Name in keyof Graphs]: Graphs[Name]['description'] };
}
