/** What may be done now beside the running streams: whoever owes time to those of others waits. */
import type { Batch } from './batch.ts';
import type { BackgroundShare } from './scheduling/background-share.ts';
import type { FairQueue } from './scheduling/fair-queue.ts';
import { groupAhead } from './scheduling/slot-share.ts';
import type { StreamDebts } from './scheduling/stream-debts.ts';
import type { Sequence, SequenceGroup } from './sequence.ts';
import type { WaitingGroups } from './waiting-groups.ts';

export type Turns = {
  /** Whether an image that a client waits for may be encoded. */
  mayRun: (client: string) => boolean;
  /** Groups that may begin, in the order in which they get slots. */
  groups: readonly SequenceGroup[];
  /** Whether the first of them is background work, and others wait behind it. */
  isBackgroundAhead: boolean;
  /** Of the sequences whose prompts are computed in part, those that go on first: for somebody who waits, and of the background. */
  prefilling: { urgent: Sequence | undefined; background: Sequence | undefined };
};

/** An image is followed by the prompt for which it was computed, and background work has a share of its own: neither waits for debts. */
export function turnsOf(
  batch: Pick<Batch, 'sequences' | 'prefilling' | 'groups'>,
  waiting: Pick<WaitingGroups, 'inOrder'>,
  debts: Pick<StreamDebts, 'owes'>,
  queue: Pick<FairQueue, 'hasBegun'>,
  background: Pick<BackgroundShare, 'isOverdue'>,
): Turns {
  const running = batch.sequences.filter((one) => one.isPrefilled && !one.group.isBackground);
  const streaming = new Set(running.map(({ group }) => group.client));
  const hasOthers = (client: string) => streaming.size > (streaming.has(client) ? 1 : 0);
  const mayRun = (client: string) => !hasOthers(client) || !debts.owes(client);
  const mayGoOn = (group: SequenceGroup) => group.isBackground || mayRun(group.client);
  const groups = waiting.inOrder.filter(
    (one) => queue.hasBegun(one.request.ticket) || mayGoOn(one),
  );
  const ahead = groupAhead(groups, batch.groups, { isBackgroundOverdue: background.isOverdue });
  const prefilling = batch.prefilling;
  return {
    mayRun,
    isBackgroundAhead: ahead !== undefined && groups.some((one) => !one.isBackground),
    groups: ahead === undefined ? groups : [ahead, ...groups.filter((one) => one !== ahead)],
    prefilling: {
      urgent: prefilling.find(({ group }) => !group.isBackground && mayRun(group.client)),
      background: prefilling.find(({ group }) => group.isBackground),
    },
  };
}
