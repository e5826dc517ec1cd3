/** What a stream with log-probabilities has in memory counts as it is written: what a request asks for is seldom written. */
import type { TokenLogprob } from '@blip2/shared/schemas/generation';
import type { WrittenReading } from './large-reply.ts';

/**
 * The same deltas.
 * @param reading what counts them; undefined where nothing does
 * @throws what `deltas` throws, and ApiError where there is no room for the next: then `deltas` has ended
 */
export async function* countWritten<Delta extends { type: string; logprobs?: TokenLogprob[] }>(
  deltas: AsyncGenerator<Delta, void, undefined>,
  reading: WrittenReading | undefined,
): AsyncGenerator<Delta, void, undefined> {
  for await (const delta of deltas) {
    if (delta.logprobs !== undefined) reading?.onWritten(delta.logprobs);
    yield delta;
  }
}
