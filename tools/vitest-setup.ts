/** Before any test: builds the bundle of the embedded model and prepares the edge for it, whatever the environment has. */
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { prepareEdge } from './prepare-edge.ts';

export default async function setup(): Promise<void> {
  await prepareEdge(withDefaults(MODEL_OPTIONS));
}
