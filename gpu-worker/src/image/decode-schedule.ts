/** Which of the waiting images is decoded next: callers by turns, and no more memory than there is. */
import { compareTickets, type Ticket } from '../engine/scheduling/fair-queue.ts';
import { isUnnamed } from '../engine/scheduling/unnamed.ts';

/**
 * Memory that is set aside for every process, so that an image of so little need not wait for any: a photo of 20 megapixels, bytes. What an
 * image needs is known once its header is read; one that needs more comes back, and waits for it.
 */
export const BASE_MEMORY = 96 * 2 ** 20;

export type QueuedImage = {
  ticket: Ticket;
  /** Who waits for it. */
  client: string;
  /** Estimate from its header in bytes, once that is known to be above the base. */
  memory: number | undefined;
};

export function isBackground({ ticket }: QueuedImage): boolean {
  return ticket.rank > 0;
}

/** Bytes that are set aside for an image while it is decoded. */
export function chargeOf({ memory }: QueuedImage): number {
  return memory ?? BASE_MEMORY;
}

/** Memory that one image may have beside the base of the other processes, bytes. */
export function mostMemory(processes: number, totalMemory: number): number {
  return totalMemory - (processes - 1) * BASE_MEMORY;
}

/**
 * The first that can begin on a process that has nothing to do. Those of little memory pass one that waits for memory; no other heavy one
 * does, so that its turn comes. Those of a client that has all the processes that it may have wait, and keep nobody.
 * @param running what the other processes decode
 * @param bounds `isBackgroundOverdue`: images that nobody waits for have long waited for others, and one at a time goes first
 */
export function nextOf<Image extends QueuedImage>(
  waiting: readonly Image[],
  running: readonly QueuedImage[],
  bounds: { processes: number; totalMemory: number; isBackgroundOverdue?: boolean },
): Image | undefined {
  const isBackgroundFirst = bounds.isBackgroundOverdue === true && !running.some(isBackground);
  const rank = (image: Image) => (isBackgroundFirst && !isBackground(image) ? 1 : 0);
  const inOrder = waiting
    .filter(({ client }) => mayHaveAnother(client, running, bounds.processes))
    .toSorted((a, b) => rank(a) - rank(b) || compareTickets(a.ticket, b.ticket));
  const heavy = inOrder.find(({ memory }) => memory !== undefined);
  return inOrder.find(
    (image) =>
      image.memory === undefined || (image === heavy && hasRoom(image.memory, running, bounds)),
  );
}

/**
 * One process is left for other clients: whoever comes next would wait for as long as the dearest image takes. Where no
 * address of a client is trusted all are unnamed: they have all processes, as there is nobody to leave one to.
 */
function mayHaveAnother(
  client: string,
  running: readonly QueuedImage[],
  processes: number,
): boolean {
  if (isUnnamed(client)) return true;
  const own = running.filter((image) => image.client === client).length;
  return own < Math.max(processes - 1, 1);
}

/** One process is left for images that need little, so that they wait for no heavy one. */
function hasRoom(
  memory: number,
  running: readonly QueuedImage[],
  { processes, totalMemory }: { processes: number; totalMemory: number },
): boolean {
  const heavy = running.filter((image) => image.memory !== undefined);
  if (heavy.length > 0 && heavy.length >= processes - 1) return false;
  const charged = heavy.reduce((sum, image) => sum + chargeOf(image), 0);
  return charged + memory <= mostMemory(processes - heavy.length, totalMemory);
}
