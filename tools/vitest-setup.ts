/** Before any test: the bundle of the embedded model is built and the edge knows it, whatever the environment says. */
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { prepareEdge } from './prepare-edge.ts';

export default async function setup(): Promise<void> {
  await prepareEdge(withDefaults(MODEL_OPTIONS));
}
