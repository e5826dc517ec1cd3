/** What a commit makes of the items of a part: those that have ended with it, and those that are to be sent again. */
import type { CommitRequest } from '@blip2/shared/jobs/commit';
import { revisionFor } from '@blip2/shared/served-models';
import { Pauses } from '../pauses.ts';
import { givenUpItem, isInnocent } from './item-given-up.ts';
import { contextOf, type PartServices } from './part-services.ts';
import type { EndedItem, PartTable } from './part-table.ts';
import { cacheEmbeddings, ownerOf, performCommit } from './perform-commit.ts';

/** What it takes to run an item's app, beside its line, and each character of that, which is tokenized: in bytes that are read. */
const ITEM_WORK = 2 ** 12;
const CHARACTER_WORK = 8;

type Services = Pick<PartServices, 'deps' | 'rehearser'> & {
  waitUntil: (work: Promise<unknown>) => void;
};

/**
 * Stores nothing of what has ended: meanwhile another commit may store it.
 * @property isWaiting whether there is an item to send again
 */
export async function committedItems(
  table: PartTable,
  results: CommitRequest['results'],
  { deps, rehearser, waitUntil }: Services,
): Promise<{ ended: EndedItem[]; isWaiting: boolean }> {
  const ended: EndedItem[] = [];
  let isWaiting = false;
  const order = table.state?.order;
  if (order === undefined) return { ended, isWaiting };
  const pauses = new Pauses();
  for (const { item, outcome } of results) {
    const open = table.openItem(item);
    if (open === null) continue;
    if (open.work.revision !== revisionFor(deps.models, open.work.task)) {
      // It was made for a model that is not served any more: neither its tokens nor its failure count.
      table.open.markUnsent(item);
      isWaiting = true;
      continue;
    }
    if (outcome.kind === 'gave-up') {
      if (isInnocent(open)) {
        table.open.return(item);
        isWaiting = true;
      } else ended.push(givenUpItem(order.part, open));
      continue;
    }
    await pauses.after(ITEM_WORK + CHARACTER_WORK * open.line.length);
    const performed = await performCommit(rehearser, order, open, outcome);
    ended.push(performed.ended);
    if (!order.cacheEmbeddings || performed.performance === null) continue;
    const context = contextOf(deps, ownerOf(order, item).name, order, waitUntil);
    waitUntil(cacheEmbeddings(deps, order, performed.performance, context));
  }
  return { ended, isWaiting };
}
