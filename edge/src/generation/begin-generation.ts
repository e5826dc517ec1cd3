/** From what a request names to its text: the core that native routes and dialects share. */
import type { Dependencies } from '../dependencies.ts';
import { locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { type ImageSource, resolveImage } from '../image/image-source.ts';
import type { Account } from '../limits/account.ts';
import { mostGenerated } from '../limits/cost.ts';
import type { RequestContext } from '../request-context.ts';
import { type Delta, generate } from './generate.ts';
import type { Prompt } from './prepare-prompt.ts';

/** A generation that has not begun at the GPU worker; the times are milliseconds since the epoch. */
export type BegunGeneration = {
  deltas: AsyncGenerator<Delta, void, undefined>;
  /** When the image had been read. */
  readAt: number;
  /** When its embeddings had been looked up. */
  locatedAt: number;
};

/**
 * Reads the image and looks its embeddings up, so that what is wrong with it is known before a reply begins. The
 * generation itself begins with the first delta that is asked for.
 * @throws ApiError of the image, or `unknown-image`
 * @example
 * const prompt = preparePrompt(deps, { text: '' }, {});
 * const { deltas } = await beginGeneration(deps, { source: { kind: 'bytes', bytes }, prompt }, context);
 * (await wholeOf(deltas)).text; // 'a dog'
 */
export async function beginGeneration(
  deps: Pick<Dependencies, 'config' | 'fetch' | 'gpu' | 'models' | 'now' | 'stores'>,
  { source, prompt }: { source: ImageSource; prompt: Prompt },
  context: RequestContext,
): Promise<BegunGeneration> {
  await expectTokens(deps, prompt, context.account);
  const input = await resolveImage(deps, source, context);
  const readAt = deps.now();
  const subject = { ...input, instructionIds: prompt.instructionIds };
  const image = await locateEmbeddings(deps.stores.query, subject, context);
  const locatedAt = deps.now();
  return { deltas: generate(deps, { image, prompt }, context), readAt, locatedAt };
}

/** @throws ApiError `quota-exceeded` where the caller has fewer tokens left than the generation may need */
export async function expectTokens(
  { models }: Pick<Dependencies, 'models'>,
  { inputIds, generation }: Prompt,
  account: Account | undefined,
): Promise<void> {
  const tokens = models.generate.num_query_tokens + inputIds.length + mostGenerated(generation);
  await account?.expect({ tokens, images: 0 });
}

/** What the last delta says. */
export async function wholeOf<Whole>(
  deltas: AsyncIterable<{ type: 'done'; generation: Whole } | { type: 'image' | 'delta' }>,
): Promise<Whole> {
  for await (const delta of deltas) if (delta.type === 'done') return delta.generation;
  throw new Error('a generation ended without its last delta');
}
