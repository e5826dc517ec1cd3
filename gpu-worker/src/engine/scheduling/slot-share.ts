/** Decides which waiting groups get slots. Pure: who holds and who waits in, the groups that begin out. */

import { type Group, type Memory, MemoryShare } from './memory-share.ts';

/** A group that waits for slots. */
export type WaitingGroup = Group & {
  /** Positions that the first chunk of its prompt computes. */
  readonly chunkPositions: number;
};

/** Where a group's slots are counted: among those for all in their order, or in the reserve. */
export type Pool = 'common' | 'reserve';

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
  /** Positions that the first chunks of several prompts may have together. */
  chunkTokens: number;
  /** Any where it is left out. */
  memory?: Memory | null;
  /** Whether background work has long waited for its share. */
  isBackgroundOverdue?: boolean;
};

const NO_BOUND: Memory = {
  fits: () => true,
  spare: { slots: 0, promptIds: 0, maxTokens: 0 },
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
 * The reserve takes nothing from the common slots, so that nobody in line waits longer for it. Background work never
 * uses it, leaves one common slot free unless it needs them all, and keeps no interactive group from the common slots: but where it is
 * overdue and holds none, the first in line may be one of its groups, which gets slots and memory as an interactive one would.
 * Memory for keys and values is one for all (`memory-share.ts`). A group in line that only waits for memory has it spoken
 * for: what begins in the reserve meanwhile leaves it that, so that it gets it when those end that have it now.
 *
 * Prompts of more than `chunkTokens` positions in all are computed in several passes: one pass would take as long, and the
 * first prompt would wait for the last.
 * @param waiting in the order in which they get slots
 * @example beginningGroups([caption], [eightSamples], limits) // [{ index: 0, pool: 'reserve' }]
 */
export function beginningGroups(
  waiting: readonly WaitingGroup[],
  held: readonly HeldGroup[],
  limits: SlotLimits,
): Beginning[] {
  const { maxSlots, reserveSlots, chunkTokens, memory: all } = limits;
  const first = groupAhead(waiting, held, limits);
  const present = [...held];
  const memory = new MemoryShare(waiting, held, all ?? NO_BOUND);
  const beginning: Beginning[] = [];
  const share = fairShare([...held, ...waiting], maxSlots);
  /** Of these the reserve takes none: a long queue is not looked through again for each of them. */
  const refused = new Set<string>();
  let isBlocked = false;
  let computed = 0;
  for (const [index, group] of waiting.entries()) {
    const { slots, client, isBackground, chunkPositions, kv } = group;
    if (slotsOf(present) >= maxSlots + reserveSlots) break;
    const kind = `${slots} ${isBackground} ${client} ${kv?.promptIds} ${kv?.maxTokens}`;
    if (refused.has(kind)) continue;
    const hasSlots: boolean =
      !isBlocked && fitsCommon(group, present, { maxSlots, reserveSlots, first });
    const part = memory.partFor(group);
    const fits: boolean = hasSlots && part !== null;
    if (!fits && hasSlots && memory.hasItsShare(group)) {
      // It waits for its own, and keeps nobody.
      refused.add(kind);
      continue;
    }
    isBlocked ||= !fits;
    if (!fits) {
      if (part === null || !mayUseReserve(group, present, { maxSlots, reserveSlots, share })) {
        if (hasSlots) memory.speakFor(group);
        else refused.add(kind);
        continue;
      }
    }
    computed += chunkPositions;
    if (beginning.length > 0 && computed > chunkTokens) break;
    const pool = fits ? 'common' : 'reserve';
    const isSpare = part === 'spare';
    beginning.push({ index, pool, ...(isSpare && { isSpare }) });
    present.push({ slots, client, isBackground, pool });
    memory.take(group, isSpare);
  }
  return beginning;
}

/** The group of background work that goes before all others, where there is one. */
export function groupAhead<Waiting extends Group>(
  waiting: readonly Waiting[],
  held: readonly Pick<Group, 'isBackground'>[],
  { isBackgroundOverdue = false }: Pick<SlotLimits, 'isBackgroundOverdue'>,
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

type Slots = Pick<SlotLimits, 'maxSlots' | 'reserveSlots'>;

function fitsCommon(
  group: Group,
  held: readonly HeldGroup[],
  { maxSlots, reserveSlots, first }: Slots & { first: Group | undefined },
): boolean {
  const common = held.filter(({ pool }) => pool === 'common');
  const background = held.filter((one) => one.isBackground);
  if (group.isBackground && group !== first) {
    const spared = held.length > 0 ? 1 : 0;
    return slotsOf(common) + group.slots + spared <= maxSlots;
  }
  // Beside background work, a part of the reserve stays what it is for.
  const forInteractive = background.length > 0 ? Math.ceil(reserveSlots / 4) : 0;
  return (
    slotsOf(common) - slotsOf(background) + group.slots <= maxSlots &&
    slotsOf(held) + group.slots <= maxSlots + reserveSlots - forInteractive
  );
}

function mayUseReserve(
  { slots, client, isBackground }: Group,
  held: readonly HeldGroup[],
  { maxSlots, reserveSlots, share }: Slots & { share: number },
): boolean {
  if (isBackground || slotsOf(held) + slots > maxSlots + reserveSlots) return false;
  const reserved = held.filter(({ pool }) => pool === 'reserve');
  const wanted = slotsOf(reserved) + slots;
  if (wanted > reserveSlots) return false;
  const own = held.filter((one) => one.client === client && !one.isBackground);
  if (own.length === 0 && wanted <= Math.ceil(0.75 * reserveSlots)) return true;
  // Whoever comes next finds room, beside background work in the common slots too.
  const left = maxSlots + reserveSlots - slotsOf(held) - slots;
  if (own.length > 0 && left < Math.floor(reserveSlots / 4)) return false;
  const ownReserved = slotsOf(own.filter(({ pool }) => pool === 'reserve')) + slots;
  if (ownReserved > Math.ceil(reserveSlots / 2)) return false;
  return slotsOf(own) + slots <= share || own.some((one) => one.slots > slots);
}

const slotsOf = (groups: readonly Group[]) => groups.reduce((sum, { slots }) => sum + slots, 0);
