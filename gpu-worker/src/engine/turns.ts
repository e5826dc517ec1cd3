/** What may be done now beside the running streams: whoever owes time to those of others waits. */
import type { Batch } from './batch.ts';
import type { FairQueue } from './scheduling/fair-queue.ts';
import type { StreamDebts } from './scheduling/stream-debts.ts';
import type { Sequence, SequenceGroup } from './sequence.ts';
import type { WaitingGroups } from './waiting-groups.ts';

export type Turns = {
  /** Whether an image that a client waits for may be encoded. */
  mayRun: (client: string) => boolean;
  /** Groups that may begin, in the order in which they get slots. */
  groups: readonly SequenceGroup[];
  /** Of the sequences whose prompts are computed in part, the one that goes on first. */
  prefilling: Sequence | undefined;
};

/** An image is followed by the prompt for which it was computed, and background work has a share of its own: neither waits for debts. */
export function turnsOf(
  batch: Pick<Batch, 'sequences' | 'prefilling'>,
  waiting: Pick<WaitingGroups, 'inOrder'>,
  debts: Pick<StreamDebts, 'owes'>,
  queue: Pick<FairQueue, 'hasBegun'>,
): Turns {
  const running = batch.sequences.filter((one) => one.isPrefilled && !one.group.isBackground);
  const streaming = new Set(running.map(({ group }) => group.client));
  const hasOthers = (client: string) => streaming.size > (streaming.has(client) ? 1 : 0);
  const mayRun = (client: string) => !hasOthers(client) || !debts.owes(client);
  const mayGoOn = (group: SequenceGroup) => group.isBackground || mayRun(group.client);
  return {
    mayRun,
    groups: waiting.inOrder.filter((one) => queue.hasBegun(one.request.ticket) || mayGoOn(one)),
    prefilling: batch.prefilling.find(({ group }) => mayGoOn(group)),
  };
}
