/** Token ids of a request's texts, with pauses between them: a long list in one piece would keep everybody else out. */
import { type Cut, eachRetrievalIds } from '@blip2/shared/retrieval-ids';
import type { RetrievalModel } from '@blip2/shared/served-models';
import { Pauses } from '../pauses.ts';

/** What a character takes, in bytes that are read. */
const CHARACTER_WORK = 8;

/**
 * @param field the member of the request that holds the texts
 * @param cut the end at which a text that is too long is cut; undefined where that is an error
 * @throws ApiError `prompt-too-long` naming the text, with its count and the limit
 */
export async function tokenizeTexts(
  model: RetrievalModel,
  texts: readonly string[],
  field: string,
  cut?: Cut,
): Promise<number[][]> {
  const all: number[][] = [];
  const pauses = new Pauses();
  for (const ids of eachRetrievalIds(model, texts, field, cut)) {
    await pauses.after(CHARACTER_WORK * (texts[all.length]?.length ?? 0));
    all.push(ids);
  }
  return all;
}
