/** Token ids of a request's texts, in turns of the client or with pauses between them: a long list in one piece would keep everybody else out. */
import { type Cut, eachRetrievalIds } from '@blip2/shared/retrieval-ids';
import type { RetrievalModel } from '@blip2/shared/served-models';
import type { Dependencies } from '../dependencies.ts';
import { tokenizingCost } from '../http/body-costs.ts';
import { Pauses } from '../pauses.ts';
import type { RequestContext } from '../request-context.ts';
import { DEAR_MS, dearWork, isDear } from '../turns/dear-work.ts';
import { waitOutside } from '../work-in-hand.ts';

/** What a character takes, in bytes that are read. */
const CHARACTER_WORK = 8;

/**
 * The first texts are those of the turn in which the request was read.
 * @param field the member of the request that holds the texts
 * @param cut the end at which a text that is too long is cut; undefined where that is an error
 * @throws ApiError `prompt-too-long` naming the text, with its count and the limit, and as `DearWork.turn`
 */
export async function tokenizeTexts(
  deps: Pick<Dependencies, 'images'>,
  model: RetrievalModel,
  { texts, field, cut }: { texts: readonly string[]; field: string; cut?: Cut | undefined },
  { client = '', work, waitUntil, signal, deadlineAt }: RequestContext,
): Promise<number[][]> {
  const all: number[][] = [];
  const pauses = new Pauses();
  // An item of a job has turns of its own, and waits for no other object's.
  const isItem = deps.images !== undefined;
  let sliceMs = 0;
  for (const ids of eachRetrievalIds(model, texts, field, cut)) {
    const text = texts[all.length] ?? '';
    all.push(ids);
    if (isItem) {
      await pauses.after(CHARACTER_WORK * text.length);
      continue;
    }
    sliceMs += tokenizingCost(text).ms;
    if (all.length === texts.length || !isDear(sliceMs)) continue;
    // A turn ends where its request waits: each slice has one of its own.
    const turn = dearWork.turn(client, DEAR_MS, {
      waitUntil,
      signal,
      longestMs: deadlineAt - Date.now(),
      remedy: 'fewer or shorter texts',
    });
    await waitOutside(work, turn);
    sliceMs = 0;
  }
  return all;
}
