/** Before memory is watched: caches are filled, so that what still grows afterwards has no end. */
import { exchange, type Outgoing } from './exchange.ts';
import type { Load } from './measure-mix.ts';
import { json, upload } from './mix.ts';
import { systemClock } from './open-loop.ts';

/**
 * New images after which the memory of a local workerd stayed where it was: its garbage is collected late, and its KV and
 * its cache are in it.
 */
const IMAGES = 4000;
/** New prompts that fill `BLIP2_PREFIX_CACHE_MB` at its default, of the embedded model's 20 KB each. */
const PROMPTS = 10_000;
const CONNECTIONS = 4;

/**
 * Sends images and questions that nobody has sent before, as fast as they are answered.
 * @param onProgress called with the part that is done, 0 to 1
 */
export async function fillCaches(
  { url, material, signAs, clock = systemClock }: Load,
  onProgress: (done: number) => void,
): Promise<void> {
  const { known, supply } = material;
  const total = IMAGES + PROMPTS;
  let next = 0;
  const requestAt = async (n: number): Promise<Outgoing> => {
    if (n < IMAGES) return upload(await supply.take(), 'what is there?');
    const { sha256 } = known[n % known.length]!;
    return json('/v1/answers', { image: { sha256 }, question: `is this number ${n}?` });
  };
  const connection = async () => {
    while (next < total) {
      const n = next++;
      await exchange(url, signAs(await requestAt(n), n % CONNECTIONS), clock);
      onProgress(n / total);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
}
