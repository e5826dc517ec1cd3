/**
 * When an item is what ends GPU workers. How often its message came says little: it counts for everything that a worker had when it
 * was killed. How often a worker began to run it alone, and was not heard of again, is of the item itself.
 */
import type { BatchLine } from './contract.ts';
import type { OpenItem } from './open-items.ts';
import type { EndedItem } from './part-table.ts';
import { unrepliedItem } from './results.ts';

/** An item that workers have begun so often, alone, is run no more. */
const MAX_BEGUN = 3;
/** One that was given up without that is sent again, up to so often. */
const MAX_RETURNS = 3;

export function isPoison({ begun }: Pick<OpenItem, 'begun'>): boolean {
  return begun >= MAX_BEGUN;
}

/**
 * Whether workers are to run it alone from the first time on that its message comes: one that is sent again begins to be counted anew,
 * and would take others with it until it has come often.
 */
export function isSuspect({ begun, returns }: Pick<OpenItem, 'begun' | 'returns'>): boolean {
  return begun > 0 || returns > 0;
}

/** Whether an item that was given up by the queue deserves another message: it was in bad company, as far as anybody knows. */
export function isInnocent({ begun, returns }: Pick<OpenItem, 'begun' | 'returns'>): boolean {
  return begun < MAX_BEGUN && returns < MAX_RETURNS;
}

export function givenUpItem(part: number, { item, line, begun }: OpenItem): EndedItem {
  const times = begun === 1 ? 'once' : `${begun} times`;
  const alone = begun === 0 ? '' : `, ${times} while they ran nothing else`;
  const message = `The GPU workers that had this item ended before it was done${alone}: it may be what ends them.`;
  const error = { code: 'gave-up', message };
  return unrepliedItem({ part, item }, JSON.parse(line) as BatchLine, 'failed', error);
}
