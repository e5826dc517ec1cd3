/** Before anything is measured: the service gets to know the images that are asked about by hash, and its code gets warm. */
import { exchange, type Outgoing } from './exchange.ts';
import type { Load } from './measure-mix.ts';
import { json, lookUp, upload } from './mix.ts';
import { systemClock } from './open-loop.ts';

/**
 * Sends each known image with a question, then one request of every other kind for it.
 * @throws Error when one of them fails
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
      if (failure !== null) throw new Error(`${request.method} ${request.path}: ${failure}`);
    }
  }
}
