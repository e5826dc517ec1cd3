/** Before anything is measured: the service gets to know the images that are asked about by hash, and its code gets warm. */
import { exchange, type Outgoing } from './exchange.ts';
import type { Load } from './measure-mix.ts';
import { json, lookUp, upload } from './mix.ts';
import { systemClock } from './open-loop.ts';

/** The service does not answer one of the kinds of requests. */
export class WarmUpError extends Error {}

/**
 * Sends each known image with a question, then one request of every other kind for it.
 * @throws WarmUpError when one of them fails
 */
export async function warmUp({ url, material, signAs, clock = systemClock }: Load): Promise<void> {
  for (const image of material.known) {
    const { bytes, sha256, scene } = image;
    const question = scene.questions[0]?.question ?? 'what is it?';
    const requests: Outgoing[] = [
      upload(bytes, question),
      lookUp(image),
      json('/v1/captions', { image: { sha256 } }),
      json('/v1/match', {
        image: { data: Buffer.from(bytes).toString('base64') },
        texts: [scene.caption],
      }),
    ];
    for (const request of requests) {
      const { failure } = await exchange(url, signAs(request, 0), clock);
      if (failure !== null) {
        const path = request.path.split('?')[0];
        throw new WarmUpError(
          `${request.method} ${path} fails (${failure}): the mix needs a model that answers by hash and matches, as the embedded one.`,
        );
      }
    }
  }
}
