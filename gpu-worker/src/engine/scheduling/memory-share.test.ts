import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvBudget, type KvNeed, leastBudget } from '../kv/kv-budget.ts';
import { beginningGroups, type HeldGroup, type WaitingGroup } from './slot-share.ts';

/** Of OPT-2.7B. */
const model = {
  family: 'opt' as const,
  num_query_tokens: 32,
  decoder: { layers: 32, heads: 32, head_dim: 80, max_positions: 2048 },
};
const LEAST = leastBudget(model);
const LONG = 1900;

type Change = Partial<WaitingGroup> & { isSpare?: boolean };
const group = (client: string, slots: number, maxTokens: number, change: Change = {}) => {
  const kv: KvNeed = { slots, promptIds: 20, maxTokens };
  return { client, slots, kv, chunkPositions: 10, chunkText: 10, isBackground: false, ...change };
};
const caption = (client: string, slots = 1) => group(client, slots, 40);
const item = (slots: number, maxTokens: number) => {
  return group('batch', slots, maxTokens, { isBackground: true });
};
const held = (one: ReturnType<typeof group>): HeldGroup => ({ pool: 'common', ...one });
const spare = (one: ReturnType<typeof group>): HeldGroup => {
  return { ...one, pool: 'reserve', isSpare: true };
};

function limitsOf(bytes: number, reserveSlots = 8) {
  const memory = new KvBudget(model, bytes);
  return { maxSlots: 8, reserveSlots, chunkTokens: 10_000, memory };
}

/** Indices of the groups that begin; of those that get what is spared, marked. */
function begun(waiting: WaitingGroup[], holding: HeldGroup[], bytes: number) {
  return beginningGroups(waiting, holding, limitsOf(bytes)).map(({ index, isSpare }) => {
    return isSpare ? `${index} in the spare` : index;
  });
}

describe('memory of keys and values', () => {
  const wide = group('a', 2, LONG);
  it.each<[string, WaitingGroup[], HeldGroup[], number, (number | string)[]]>([
    ['goes to one that leaves some to short ones', [wide], [], LEAST, [0]],
    [
      'does not go to one that would have all, though it is alone',
      [group('a', 4, LONG)],
      [],
      LEAST,
      [],
    ],
    ['goes to a short one beside it', [caption('b')], [held(wide)], LEAST, ['0 in the spare']],
    [
      'goes to a short one where it is background work',
      [caption('b')],
      [held(item(2, LONG))],
      LEAST,
      ['0 in the spare'],
    ],
    [
      'that is spared goes to no client that holds some while another waits that holds nothing',
      [group('b', 1, 400), caption('a')],
      [held(wide)],
      LEAST,
      [],
    ],
    [
      'that is spared goes by a half to a client that holds some, while nobody else waits',
      [caption('a'), caption('a')],
      [held(wide)],
      LEAST,
      ['0 in the spare'],
    ],
    [
      'that is spared is all for one client where only background work holds the rest',
      [caption('a'), caption('a'), caption('a')],
      [held(item(2, LONG))],
      LEAST,
      ['0 in the spare', '1 in the spare'],
    ],
    [
      'that is spared goes to one of a client at a time',
      [caption('b'), caption('b'), caption('c')],
      [held(wide)],
      LEAST,
      ['0 in the spare', '2 in the spare'],
    ],
    [
      'that is spared is no more than that',
      [caption('d')],
      [held(wide), spare(caption('b')), spare(caption('c'))],
      LEAST,
      [],
    ],
    ['that is spared goes to none that is long', [group('b', 1, 400)], [held(wide)], LEAST, []],
    ['that is spared goes to no background work', [item(1, 20)], [held(wide)], LEAST, []],
    [
      'that is spared goes by a half to those without a name who hold some',
      [caption(''), caption('')],
      [held(group('', 2, LONG))],
      LEAST,
      ['0 in the spare'],
    ],
    [
      'goes to a short one behind one that has it spoken for',
      [group('b', 2, LONG), caption('c')],
      [held(wide)],
      LEAST,
      ['1 in the spare'],
    ],
    [
      'is spoken for by who waits for it',
      [group('b', 4, LONG), group('c', 1, 600)],
      [held(group('a', 4, LONG))],
      LEAST * 2.25,
      [],
    ],
    [
      'goes to a long one past short ones in the spare',
      [wide],
      [spare(caption('b', 2))],
      LEAST,
      [0],
    ],
    [
      'goes to others before a client that has its part',
      [group('a', 2, LONG), group('b', 1, LONG)],
      [held(group('a', 3, LONG))],
      LEAST * 2,
      [1],
    ],
    [
      'goes to a client that has its part while nobody else waits',
      [group('a', 2, LONG)],
      [held(group('a', 3, LONG)), held(caption('b'))],
      LEAST * 2,
      [0],
    ],
    [
      'goes to background work by a half',
      [item(1, LONG), item(1, LONG), item(1, LONG)],
      [],
      LEAST,
      [0, 1],
    ],
    [
      'goes to a background group that needs more when there is no other',
      [item(4, LONG), item(1, 20)],
      [],
      LEAST * 1.5,
      [0],
    ],
  ])('%s', (_, waiting, holding, bytes, expected) => {
    expect(begun(waiting, holding, bytes)).toEqual(expected);
  });

  it('goes to a short one that is first also where there is no reserve', () => {
    expect(beginningGroups([caption('b')], [held(wide)], limitsOf(LEAST, 0))).toEqual([
      { index: 0, pool: 'common', isSpare: true },
    ]);
  });

  it('is there for a caption of whoever holds nothing, after other short ones at most', () => {
    const arrival = fc.record({
      isBackground: fc.boolean(),
      slots: fc.integer({ min: 1, max: 8 }),
      promptIds: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 1000 })),
      maxTokens: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 1000 })),
      ends: fc.nat(2),
    });
    const check = (arrivals: Arrival[], slack: number) => {
      const bytes = LEAST * slack;
      const budget = new KvBudget(model, bytes);
      const expected = (group: { kv: KvNeed }) => {
        const { slots: n, maxTokens: max_tokens, promptIds } = group.kv;
        try {
          budget.expect({ n, num_beams: 1, max_tokens }, promptIds);
          return true;
        } catch {
          return false;
        }
      };
      let waiting: WaitingGroup[] = [];
      let holding: HeldGroup[] = [];
      const begin = () => {
        const beginning = beginningGroups(waiting, holding, limitsOf(bytes));
        holding.push(...beginning.map(({ index, ...place }) => ({ ...waiting[index]!, ...place })));
        waiting = waiting.filter((_, index) => beginning.every((one) => one.index !== index));
        if (holding.length > 0) expect(budget.fits(holding.map(({ kv }) => kv))).toBe(true);
      };
      const probe = caption('probe');
      for (const { ends, isBackground, slots, promptIds, maxTokens } of arrivals) {
        const kv = { slots, promptIds, maxTokens };
        const client = isBackground ? 'batch' : 'greedy';
        const arrived = { slots, kv, client, isBackground, chunkPositions: 10, chunkText: 10 };
        if (expected(arrived)) waiting.push(arrived);
        waiting.sort((a, b) => Number(a.isBackground) - Number(b.isBackground));
        holding = holding.slice(ends);
        begin();
        const firstBackground = waiting.findIndex((one) => one.isBackground);
        const at = firstBackground < 0 ? waiting.length : firstBackground;
        const begins = (present: HeldGroup[]) =>
          beginningGroups(waiting.toSpliced(at, 0, probe), present, limitsOf(bytes)).some(
            ({ index }) => index === at,
          );
        const others = holding.filter(({ isSpare }) => !isSpare);
        expect(begins(holding) || (others.length < holding.length && begins(others))).toBe(true);
      }
      while (waiting.length > 0) {
        expect(holding.length).toBeGreaterThan(0);
        holding = holding.slice(1);
        begin();
      }
    };
    fc.assert(
      fc.property(
        fc.array(arrival, { maxLength: 30 }),
        fc.double({ min: 1, max: 4, noNaN: true }),
        check,
      ),
      { numRuns: 500 },
    );
  });
});

type Arrival = {
  isBackground: boolean;
  slots: number;
  promptIds: number;
  maxTokens: number;
  ends: number;
};
