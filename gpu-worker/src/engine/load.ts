/** What there is to do now, as the scheduler is asked about it. */
import type { Batch } from './batch.ts';
import type { ImageQueue } from './image-queue.ts';
import type { BackgroundShare } from './scheduling/background-share.ts';
import type { Load } from './scheduling/scheduler.ts';
import type { SlotLimits } from './scheduling/slot-share.ts';
import type { Turns } from './turns.ts';

type Parts = {
  limits: SlotLimits;
  batch: Pick<Batch, 'sequences' | 'running' | 'groups'>;
  images: Pick<ImageQueue, 'first' | 'waiting'>;
  background: Pick<BackgroundShare, 'restMs'>;
};

/** Of the work that has its turn. */
export function loadOf(
  { mayRun, groups, prefilling }: Turns,
  { limits, batch, images, background }: Parts,
): Load {
  const { sequences, running, groups: heldGroups } = batch;
  const image = images.first(mayRun);
  return {
    ...limits,
    waitingImages: image === null ? 0 : images.waiting,
    isImageUrgent: image?.ticket.rank === 0,
    waitingGroups: groups,
    heldGroups,
    prefilling: prefilling === undefined ? 0 : sequences.length - running,
    isPrefillUrgent: prefilling?.group.isBackground === false,
    running,
    isRunningUrgent: sequences.some((one) => one.isPrefilled && !one.group.isBackground),
    isBackgroundDue: background.restMs === 0,
  };
}
