/** What a family of checkpoints has to say about itself before anything is written. */
import type { GenerateManifest, RetrieveManifest } from '@blip2/shared/bundle-manifest';
import type { Graph } from '../../onnx/graph.ts';

/** Members that only the bundle as a whole knows. */
type Whole = 'format' | 'name' | 'revision' | 'files' | 'license' | 'model_card';

export type GenerateDescription = Omit<GenerateManifest, Whole>;
export type RetrieveDescription = Omit<RetrieveManifest, Whole>;

export type BundlePlan = {
  graphs: Graph[];
  /** The manifest without what only the bundle as a whole knows. */
  manifest: GenerateDescription | RetrieveDescription;
};

/** Buffers that old checkpoints keep and no layer reads. */
export const IDLE_TENSORS = /\.position_ids$/;
