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
  images: Pick<ImageQueue, 'hasNext'>;
  background: Pick<BackgroundShare, 'restMs' | 'isOverdue'>;
};

/** Of the work that has its turn. */
export function loadOf(
  { mayRun, groups, prefilling }: Turns,
  { limits, batch, images, background }: Parts,
): Load {
  const { sequences, running, groups: heldGroups } = batch;
  return {
    ...limits,
    hasUrgentImage: images.hasNext('interactive', mayRun),
    hasBackgroundImage: images.hasNext('background', mayRun),
    waitingGroups: groups,
    heldGroups,
    hasUrgentPrefill: prefilling.urgent !== undefined,
    hasBackgroundPrefill: prefilling.background !== undefined,
    running,
    isRunningUrgent: sequences.some((one) => one.isPrefilled && !one.group.isBackground),
    isBackgroundDue: background.restMs === 0,
    isBackgroundOverdue: background.isOverdue,
  };
}
