import { describe, expect, it } from 'vitest';
import { Batch } from './batch.ts';
import { seededRandom } from './decoding/sample-token.ts';
import type { Range } from './kv/kv-cache.ts';
import type { Sequence } from './sequence.ts';
import { promptAbout } from './testing/fake-decoder.ts';
import { groupOf } from './testing/groups.ts';

/** Slots whose positions are written and copied like those of a decoder. */
class Slots {
  readonly positions: string[][] = [];
  readonly copies: { from: number; to: number; positions: Range }[] = [];

  cachedPositions(textIds: number): number {
    return textIds;
  }

  copySlot(from: number, to: number, positions: Range): void {
    this.copies.push({ from, to, positions });
    const { start, end } = positions;
    const copied = (this.positions[from] ?? []).slice(start, end);
    this.positions[to] = [...(this.positions[to] ?? []).slice(0, start), ...copied];
  }

  /** The prompt of a sequence, which is named by its group and the positions. */
  prefill(sequence: Sequence): void {
    const { ids } = sequence.group.prompt;
    this.positions[sequence.slot] = ids.map((id) => `${sequence.group.request.id}:${id}`);
    sequence.cachedPositions = ids.length;
    sequence.unreadIds = 0;
  }

  /** The token that a sequence reads in a step. */
  step(sequence: Sequence): void {
    const held = (this.positions[sequence.slot] ?? []).slice(0, sequence.cachedPositions);
    this.positions[sequence.slot] = [...held, String(sequence.nextToken)];
    sequence.cachedPositions += 1;
  }

  of({ slot, cachedPositions }: Sequence): string[] {
    return (this.positions[slot] ?? []).slice(0, cachedPositions);
  }
}

function start() {
  const slots = new Slots();
  const batch = new Batch(slots);
  const add = (id: number, width = 1) => {
    const config = width > 1 ? { n: width, temperature: 1 } : {};
    const group = groupOf(id, promptAbout(id, 2, 3), config);
    slots.prefill(batch.add(group));
    return group;
  };
  return { slots, batch, add };
}

const slotsOf = ({ sequences }: { sequences: Sequence[] }) => sequences.map(({ slot }) => slot);

describe('the batch', () => {
  it('gives groups consecutive slots', () => {
    const { batch, add } = start();
    const groups = [add(1), add(2, 3), add(3)];
    expect(groups.map(slotsOf)).toEqual([[0], [1], [2]]);
    expect(batch.groups).toEqual(groups);
    expect(groups.map(({ slots }) => slots)).toEqual([1, 3, 1]);
    expect(batch.running).toBe(3);
  });

  it('finds the sequences whose prompts are computed in part, which are not running', () => {
    const { batch, add } = start();
    add(1);
    const sequences = [batch.add(groupOf(2)), batch.add(groupOf(3))];
    expect(batch.prefilling).toEqual(sequences);
    expect(batch.running).toBe(1);
  });

  it('moves the last sequence into a slot that becomes free', () => {
    const { slots, batch, add } = start();
    const [first, second, third] = [add(1), add(2), add(3)];
    batch.advance(first, []);
    expect([slotsOf(second), slotsOf(third)]).toEqual([[1], [0]]);
    expect(slots.of(third.sequences[0]!)).toEqual(['3:2', '3:3']);
    expect(slots.copies).toEqual([{ from: 2, to: 0, positions: { start: 0, end: 2 } }]);
    batch.advance(second, []);
    expect(slots.copies).toHaveLength(1);
    expect(batch.sequences).toEqual(third.sequences);
  });

  it('moves nothing when each sequence continues itself', () => {
    const { slots, batch, add } = start();
    const group = add(1);
    batch.advance(group, [{ parent: 0, token: 7 }]);
    expect(group.sequences[0]).toMatchObject({ slot: 0, nextToken: 7, cachedPositions: 2 });
    expect(slots.copies).toEqual([]);
  });

  it('forks a prompt into new slots', () => {
    const { slots, batch, add } = start();
    const group = add(1, 3);
    add(2);
    batch.advance(
      group,
      [7, 8, 9].map((token) => ({ parent: 0, token })),
    );
    expect(slotsOf(group)).toEqual([0, 2, 3]);
    expect(group.sequences.map(({ nextToken }) => nextToken)).toEqual([7, 8, 9]);
    expect(slots.copies.map(({ positions }) => positions)).toEqual([
      { start: 0, end: 2 },
      { start: 0, end: 2 },
    ]);
    for (const sequence of group.sequences) {
      expect(slots.of(sequence)).toEqual(['1:2', '1:3']);
      expect(sequence.isPrefilled).toBe(true);
    }
  });

  it('copies only the positions behind the prompt onto a sequence of the same group', () => {
    const { slots, batch, add } = start();
    const group = add(1, 2);
    const twice = (parent: number) => [7, 8].map((token) => ({ parent, token }));
    batch.advance(group, twice(0));
    for (const sequence of group.sequences) slots.step(sequence);
    slots.copies.length = 0;
    batch.advance(group, twice(1));
    expect(slots.copies).toEqual([{ from: 1, to: 0, positions: { start: 2, end: 3 } }]);
    for (const sequence of group.sequences) expect(slots.of(sequence)).toEqual(['1:2', '1:3', '8']);
  });

  it('frees all slots of a request that is removed', () => {
    const { batch, add } = start();
    const [group, other] = [add(1, 3), add(2)];
    batch.advance(
      group,
      [7, 8, 9].map((token) => ({ parent: 0, token })),
    );
    batch.remove(1);
    expect(batch.sequences).toEqual(other.sequences);
    expect(slotsOf(other)).toEqual([0]);
    batch.remove(1);
    expect(batch.sequences).toHaveLength(1);
  });

  it('preserves the positions of every sequence, whatever forks, ends and is removed', () => {
    const random = seededRandom(11);
    const upTo = (count: number) => Math.floor(random() * count);
    const { slots, batch, add } = start();
    /** What each sequence has read, without slots. */
    const texts = new Map<Sequence, string[]>();
    let groups: ReturnType<typeof add>[] = [];
    for (let turn = 0; turn < 300; turn++) {
      if (groups.length < 5) {
        const group = add(turn, 4);
        texts.set(group.sequences[0]!, [`${turn}:2`, `${turn}:3`]);
        groups.push(group);
      }
      for (const sequence of batch.sequences) {
        slots.step(sequence);
        texts.get(sequence)!.push(String(sequence.nextToken));
      }
      for (const group of groups) {
        const before = group.sequences.map((sequence) => texts.get(sequence)!);
        const next = Array.from({ length: upTo(5) }, () => {
          return { parent: upTo(before.length), token: upTo(1000) };
        });
        batch.advance(group, next);
        for (const [i, { parent }] of next.entries()) {
          texts.set(group.sequences[i]!, [...before[parent]!]);
        }
      }
      if (upTo(4) === 0) batch.remove(groups[0]!.request.id);
      groups = groups.filter((group) => batch.sequences.some((one) => one.group === group));
      for (const [slot, sequence] of batch.sequences.entries()) {
        expect(sequence.slot).toBe(slot);
        expect(slots.of(sequence)).toEqual(texts.get(sequence));
      }
    }
  });
});
