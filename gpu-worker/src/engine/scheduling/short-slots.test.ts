/** Slots of the reserve that are for short requests of clients that hold nothing: what others have, however long, leaves these. */
import { UNNAMED_CLIENT } from '@blip2/shared/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { beginningGroups, type HeldGroup, type Pool, type WaitingGroup } from './slot-share.ts';

const SHORT = 40;
const LONG = 1900;

type Text = { maxTokens?: number; promptIds?: number; isBackground?: boolean };

function group(client: string, slots: number, text: Text = {}): WaitingGroup {
  const { maxTokens = SHORT, promptIds = 20, isBackground = false } = text;
  const kv = { slots, promptIds, maxTokens };
  return { client, slots, kv, isBackground, chunkPositions: 1, chunkText: 1 };
}
const long = (client: string, slots: number) => group(client, slots, { maxTokens: LONG });
const caption = (client: string) => group(client, 1);
const held = (one: WaitingGroup, pool: Pool = 'reserve'): HeldGroup => ({ ...one, pool });
const limitsOf = (maxSlots: number, reserveSlots = maxSlots) => {
  return { maxSlots, reserveSlots, chunkTokens: 10_000 };
};

/** The waiting groups that begin, and where. */
function begun(waiting: WaitingGroup[], holding: HeldGroup[] = []) {
  return beginningGroups(waiting, holding, limitsOf(8)).map(({ index, pool }) => [index, pool]);
}

describe('the last quarter of the reserve', () => {
  const [eight, six] = [held(long('a', 8), 'common'), held(long('b', 6))];
  it.each<[string, WaitingGroup[], HeldGroup[], [number, Pool][]]>([
    [
      'goes to captions of two clients while three have long texts for all slots',
      [long('a', 8), long('b', 6), long('c', 2), caption('d'), caption('e'), caption('f')],
      [],
      [
        [0, 'common'],
        [1, 'reserve'],
        [3, 'short'],
        [4, 'short'],
      ],
    ],
    ['goes to no long text', [long('c', 1)], [eight, six], []],
    ['goes to no long prompt', [group('c', 1, { promptIds: 900 })], [eight, six], []],
    ['goes to no wide group', [group('c', 3)], [eight, six], []],
    ['goes to two samples of a client', [group('c', 2)], [eight, six], [[0, 'short']]],
    [
      'goes to one caption of a client at a time',
      [caption('c'), caption('c'), caption('d')],
      [eight, six],
      [
        [0, 'short'],
        [2, 'short'],
      ],
    ],
    [
      'goes to no two samples where more clients want slots than that',
      [group('c', 2), caption('d'), caption('e')],
      [eight, six],
      [
        [1, 'short'],
        [2, 'short'],
      ],
    ],
    ['goes to none that has others', [caption('a')], [eight, six], []],
    [
      'goes to no long text while a wide group waits for the common slots either',
      [long('a', 8), ...[...'bcdefghi'].map((client) => long(client, 1))],
      [held(long('a', 1), 'common')],
      [1, 2, 3, 4, 5, 6].map((index) => [index, 'reserve']),
    ],
    [
      'taken, leaves as much of the rest free of captions whose client has wide groups',
      Array(5).fill(caption('a')),
      [eight, held(long('b', 1)), held(caption('c'), 'short'), held(caption('d'), 'short')],
      [0, 1, 2].map((index) => [index, 'reserve']),
    ],
    [
      'goes to short texts before the rest, which long ones get',
      [caption('c'), caption('d'), long('e', 6)],
      [held(long('a', 7), 'common'), held(long('b', 1), 'common')],
      [
        [0, 'short'],
        [1, 'short'],
      ],
    ],
    [
      'is what long texts leave beside background work in the common slots',
      [long('b', 6), long('c', 4), long('d', 1), caption('e')],
      [held(group('batch', 8, { isBackground: true }), 'common')],
      [
        [0, 'common'],
        [3, 'short'],
      ],
    ],
  ])('%s', (_, waiting, holding, expected) => {
    expect(begun(waiting, holding)).toEqual(expected);
  });

  it.each(['', UNNAMED_CLIENT])(
    'goes to those without a name (%j) beside others such',
    (client) => {
      const holding = [held(long(client, 8), 'common'), held(long(client, 4))];
      const waiting = [caption(client), long(client, 1), caption(client), caption(client)];
      expect(begun(waiting, holding)).toEqual([
        [0, 'short'],
        [2, 'short'],
      ]);
      // They are somebody else: who has them has no less of the rest.
      const four = [caption(client), caption(client), ...Array(5).fill(caption(client))];
      expect(begun(four, holding.slice(0, 1)).map(([, pool]) => pool)).toEqual([
        ...['short', 'short'],
        ...Array(4).fill('reserve'),
      ]);
    },
  );
});

describe('a caption of whoever holds nothing', () => {
  const client = fc.constantFrom('', UNNAMED_CLIENT, ...'abcdefghijklmnop');
  const length = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(LONG));
  const arrival = fc.record({
    client,
    slots: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 2 })),
    text: fc.record({
      maxTokens: length,
      promptIds: length,
      isBackground: fc.oneof(fc.constant(false), fc.boolean()),
    }),
    ends: fc.oneof(fc.constant(0), fc.nat(2)),
  });

  it.each(['probe', '', UNNAMED_CLIENT])(
    'begins when no more than short ones have ended (client %j)',
    (name) => {
      const probe = caption(name);
      fc.assert(
        fc.property(
          fc.array(arrival, { maxLength: 40 }),
          fc.integer({ min: 1, max: 8 }),
          fc.integer({ min: 1, max: 16 }),
          (arrivals, maxSlots, reserveSlots) => {
            const limits = limitsOf(maxSlots, reserveSlots);
            let waiting: WaitingGroup[] = [];
            let holding: HeldGroup[] = [];
            /** Those that begin, out of who waits. */
            const begin = (line: WaitingGroup[], present: HeldGroup[]) => {
              const beginning = beginningGroups(line, present, limits);
              const places = new Map(beginning.map(({ index, pool }) => [index, pool]));
              const begun = line.flatMap((one, i) => {
                const pool = places.get(i);
                return pool === undefined ? [] : [held(one, pool)];
              });
              return { begun, rest: line.filter((_, i) => !places.has(i)) };
            };
            for (const { client, slots, text, ends } of arrivals) {
              if (slots <= maxSlots) waiting.push(group(client, slots, text));
              waiting.sort((a, b) => Number(a.isBackground) - Number(b.isBackground));
              holding = holding.slice(ends);
              const { begun, rest } = begin(waiting, holding);
              holding.push(...begun);
              waiting = rest;
              expect(slotsOf(holding)).toBeLessThanOrEqual(maxSlots + reserveSlots);
              const short = holding.filter(({ pool }) => pool === 'short');
              for (const { slots, kv } of short) {
                expect(slots).toBeLessThanOrEqual(2);
                expect(Math.max(kv.promptIds, kv.maxTokens)).toBeLessThanOrEqual(256);
              }
              // Behind all that wait, while only those end that have the short slots.
              let line = [...waiting.filter((one) => !one.isBackground), probe];
              let present = holding;
              for (let turns = line.length; line.includes(probe); turns--) {
                expect(turns).toBeGreaterThanOrEqual(0);
                const next = begin(line, present);
                line = next.rest;
                present = [...present, ...next.begun].filter(({ pool }) => pool !== 'short');
              }
            }
          },
        ),
        { numRuns: 300 },
      );
    },
  );
});

const slotsOf = (groups: readonly HeldGroup[]) => groups.reduce((sum, one) => sum + one.slots, 0);
