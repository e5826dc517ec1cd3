/** Before any test: the bundle is built and the edge knows its model. */
import { prepareEdge } from './prepare-edge.ts';

export default async function setup(): Promise<void> {
  await prepareEdge();
}
