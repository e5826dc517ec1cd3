/** Decides which waiting groups get slots. Pure: who holds and who waits in, the groups that begin out. */

import { type KvNeed, SHORT_REQUEST } from '../kv/kv-budget.ts';
import { type Group, type Memory, MemoryShare } from './memory-share.ts';
import { isUnnamed } from './unnamed.ts';

/** A group that waits for slots. */
export type WaitingGroup = Group & {
  /** Positions that the first chunk of its prompt computes. */
  readonly chunkPositions: number;
  /** Those of them that are text, not an image's: the rows of a pass are padded to the longest. */
  readonly chunkText: number;
};

/**
 * Where a group's slots are counted: among those for all in their order, in the reserve, or in that part of the reserve which
 * only short requests get.
 */
export type Pool = 'common' | 'reserve' | 'short';

/** A group that has slots, or may still ask for them. */
export type HeldGroup = Group & {
  readonly pool: Pool;
  /** Whether its memory is that which all others leave to short requests. */
  readonly isSpare?: boolean;
};

export type SlotLimits = {
  /** Slots for all groups, in their order. */
  maxSlots: number;
  /** Further ones, for interactive groups that would else wait for somebody who has more than a fair share. */
  reserveSlots: number;
  /** Positions that a pass of the first chunks of several prompts may compute, padding included. */
  chunkTokens: number;
  /** Any where it is left out. */
  memory?: Memory | null;
  /** Whether background work has long waited for its share. */
  isBackgroundOverdue?: boolean;
};

const NO_BOUND: Memory = {
  fits: () => true,
  spare: SHORT_REQUEST,
};

export type Beginning = { readonly index: number; readonly pool: Pool; readonly isSpare?: boolean };

/**
 * Which waiting groups begin now. In the common slots groups never overtake each other: those that need few slots do not
 * starve one that needs many. What does not fit them may begin in the reserve:
 *
 * - whose client holds nothing, while a quarter of the reserve stays free;
 * - whose client has no more than its fair share of the slots with it, or has a wider group: a caption does not wait for
 *   the eight samples of the same client, or of somebody behind the same address.
 *
 * What is not short never has the last quarter of the reserve, however many clients want it: that is for one or two short texts
 * of clients that hold nothing. So a caption of somebody who holds nothing waits for such short ones at most. Of the unnamed
 * each counts there as somebody else.
 *
 * The reserve takes nothing from the common slots, so that nobody in line waits longer for it. Background work never
 * uses it, leaves one common slot free unless it needs them all, and keeps no interactive group from the common slots: but where it is
 * overdue and holds none, the first in line may be one of its groups, which gets slots and memory as an interactive one would.
 * Memory for keys and values is one for all (`memory-share.ts`). A group in line that only waits for memory has it spoken
 * for: what begins in the reserve meanwhile leaves it that, so that it gets it when those end that have it now.
 *
 * Prompts that make a pass of more than `chunkTokens` positions are computed in several: one would take as long, and the
 * first prompt would wait for the last. Their texts are as long as the longest in the pass.
 * @param waiting in the order in which they get slots
 * @example beginningGroups([caption], [eightSamples], limits) // [{ index: 0, pool: 'reserve' }]
 */
export function beginningGroups(
  waiting: readonly WaitingGroup[],
  held: readonly HeldGroup[],
  { maxSlots, reserveSlots, chunkTokens, memory: all, isBackgroundOverdue }: SlotLimits,
): Beginning[] {
  const first = groupAhead(waiting, held, { isBackgroundOverdue });
  const present = [...held];
  const bound = all ?? NO_BOUND;
  const memory = new MemoryShare(waiting, held, bound);
  const beginning: Beginning[] = [];
  const share = fairShare([...held, ...waiting], maxSlots);
  const limits = { maxSlots, reserveSlots, share, short: bound.spare, first };
  /** Of these the reserve takes none: a long queue is not looked through again for each of them. */
  const refused = new Set<string>();
  let isBlocked = false;
  let images = 0;
  let longest = 0;
  for (const [index, group] of waiting.entries()) {
    const { slots, client, isBackground, chunkPositions, chunkText, kv } = group;
    if (slotsOf(present) >= maxSlots + reserveSlots) break;
    const kind = `${slots} ${isBackground} ${client} ${kv.promptIds} ${kv.maxTokens}`;
    if (refused.has(kind)) continue;
    const hasSlots: boolean = !isBlocked && fitsCommon(group, present, limits);
    const part = memory.partFor(group);
    const fits: boolean = hasSlots && part !== null;
    if (!fits && hasSlots && memory.hasItsShare(group)) {
      // It waits for its own, and keeps nobody.
      refused.add(kind);
      continue;
    }
    isBlocked ||= !fits;
    const pool = fits ? 'common' : part && reservePool(group, present, limits);
    if (pool === null) {
      if (hasSlots) memory.speakFor(group);
      else refused.add(kind);
      continue;
    }
    images += chunkPositions - chunkText;
    longest = Math.max(longest, chunkText);
    const rows = beginning.length + 1;
    if (rows > 1 && images + rows * longest > chunkTokens) break;
    const isSpare = part === 'spare';
    beginning.push({ index, pool, ...(isSpare && { isSpare }) });
    present.push({ slots, client, isBackground, kv, pool });
    memory.take(group, isSpare);
  }
  return beginning;
}

/** The group of background work that goes before all others, where there is one. */
export function groupAhead<Waiting extends Group>(
  waiting: readonly Waiting[],
  held: readonly Pick<Group, 'isBackground'>[],
  { isBackgroundOverdue = false }: { isBackgroundOverdue?: boolean | undefined },
): Waiting | undefined {
  // Any that it holds slots with goes on with the streams of others.
  if (!isBackgroundOverdue || held.some(({ isBackground }) => isBackground)) return undefined;
  return waiting.find(({ isBackground }) => isBackground);
}

/** Slots of each client that holds or wants some for interactive work; one at the least. */
function fairShare(groups: readonly Group[], maxSlots: number): number {
  const clients = new Set(groups.filter((one) => !one.isBackground).map(({ client }) => client));
  return Math.max(1, maxSlots / clients.size);
}

/** `first`: the group of background work that goes before all others. */
type Limits = Pick<SlotLimits, 'maxSlots' | 'reserveSlots'> & {
  share: number;
  short: KvNeed;
  first: Group | undefined;
};

function fitsCommon(group: Group, held: readonly HeldGroup[], limits: Limits): boolean {
  const { maxSlots, first } = limits;
  const common = held.filter(({ pool }) => pool === 'common');
  if (group.isBackground && group !== first) {
    const spared = held.length > 0 ? 1 : 0;
    return slotsOf(common) + group.slots + spared <= maxSlots;
  }
  const background = held.filter((one) => one.isBackground);
  return (
    slotsOf(common) - slotsOf(background) + group.slots <= maxSlots &&
    leavesShort(group, held, limits)
  );
}

/** Slots that only short requests get. */
const shortSlots = ({ reserveSlots }: Pick<Limits, 'reserveSlots'>) => Math.ceil(reserveSlots / 4);

/** Whether they stay what they are for, beside background work in the common slots too. */
function leavesShort({ slots }: Group, held: readonly HeldGroup[], limits: Limits): boolean {
  const others = held.filter(({ pool }) => pool !== 'short');
  return slotsOf(others) + slots <= limits.maxSlots + limits.reserveSlots - shortSlots(limits);
}

/** The part of the reserve in which a group may begin, if any. */
function reservePool(
  group: Group,
  held: readonly HeldGroup[],
  limits: Limits,
): Exclude<Pool, 'common'> | null {
  const { slots, client, isBackground } = group;
  const { maxSlots, reserveSlots, share } = limits;
  if (isBackground) return null;
  // Unnamed ones in the short slots are somebody else.
  const isSame = (one: HeldGroup) =>
    one.client === client && !(one.pool === 'short' && isUnnamed(client));
  const own = held.filter((one) => isSame(one) && !one.isBackground);
  const inShort = slotsOf(held.filter(({ pool }) => pool === 'short'));
  const isSomebodyElse = own.length === 0 || isUnnamed(client);
  if (isSomebodyElse && isShort(group, limits) && slots <= share) {
    if (inShort + slots <= shortSlots(limits)) return 'short';
  }
  const forAll = reserveSlots - shortSlots(limits);
  const wanted = slotsOf(held.filter(({ pool }) => pool === 'reserve')) + slots;
  if (wanted > forAll || !leavesShort(group, held, limits)) return null;
  if (own.length === 0 && wanted + inShort <= forAll) return 'reserve';
  // Whoever comes next finds room.
  const left = maxSlots + reserveSlots - slotsOf(held) - slots;
  if (own.length > 0 && left < shortSlots(limits)) return null;
  const ownReserved = slotsOf(own.filter(({ pool }) => pool !== 'common')) + slots;
  if (ownReserved > Math.ceil(reserveSlots / 2)) return null;
  return slotsOf(own) + slots <= share || own.some((one) => one.slots > slots) ? 'reserve' : null;
}

/** Whether its slots come free soon. */
function isShort({ slots, kv }: Group, { short }: Limits): boolean {
  const { promptIds, maxTokens } = kv;
  return slots <= short.slots && promptIds <= short.promptIds && maxTokens <= short.maxTokens;
}

const slotsOf = (groups: readonly Group[]) => groups.reduce((sum, { slots }) => sum + slots, 0);
