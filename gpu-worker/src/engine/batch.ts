/** Which sequence holds which slot of the KV cache: the slots 0 … n−1 of n sequences, without gaps. */
import type { Continuation } from './decoding/strategy.ts';
import type { Decoder } from './models/decoder.ts';
import { compareTickets } from './scheduling/fair-queue.ts';
import { Sequence, type SequenceGroup } from './sequence.ts';

/** Sequences move between slots; `slot` of a sequence is always its present one. */
export class Batch {
  readonly #decoder: Pick<Decoder, 'copySlot' | 'cachedPositions'>;
  /** The index is the slot. */
  readonly #sequences: Sequence[] = [];

  constructor(decoder: Pick<Decoder, 'copySlot' | 'cachedPositions'>) {
    this.#decoder = decoder;
  }

  /** In the order of their slots. */
  get sequences(): readonly Sequence[] {
    return this.#sequences;
  }

  /** How many get a token with each decode step. */
  get running(): number {
    return this.#sequences.filter(({ isPrefilled }) => isPrefilled).length;
  }

  /** Those whose prompts are computed in part, in the order of their turns. */
  get prefilling(): Sequence[] {
    return this.#sequences
      .filter(({ isPrefilled }) => !isPrefilled)
      .sort((a, b) => compareTickets(a.turn, b.turn));
  }

  /** Groups that hold slots. */
  get groups(): SequenceGroup[] {
    return [...new Set(this.#sequences.map(({ group }) => group))];
  }

  /** The one sequence that a group begins with, in a slot behind the others. */
  add(group: SequenceGroup): Sequence {
    const sequence = this.#append(group);
    group.sequences = [sequence];
    return sequence;
  }

  /**
   * Makes a group's sequences those of its next step; without any its slots are freed. A sequence that continues keeps
   * its slot; where several continue the same one, the others get slots that the group no longer needs, or new ones.
   */
  advance(group: SequenceGroup, next: readonly Continuation[]): void {
    const before = group.sequences;
    const continued = new Set<Sequence>();
    const inPlace = next.map(({ parent }) => {
      const sequence = before[parent] as Sequence;
      if (continued.has(sequence)) return null;
      continued.add(sequence);
      return sequence;
    });
    const spare = before.filter((sequence) => !continued.has(sequence));
    group.sequences = next.map(({ parent, token }, i) => {
      const sequence = inPlace[i] ?? this.#fork(before[parent] as Sequence, spare.pop());
      sequence.nextToken = token;
      return sequence;
    });
    for (const sequence of spare) this.#free(sequence);
  }

  /** Frees the slots of a request. */
  remove(id: number): void {
    const own = this.#sequences.filter(({ group }) => group.request.id === id);
    for (const sequence of own) this.#free(sequence);
  }

  /** A sequence that holds what `source` holds, in place of `target` or in a new slot. */
  #fork(source: Sequence, target: Sequence | undefined): Sequence {
    const { prompt } = source.group;
    // Sequences of one group have its prompt in common.
    const start = target === undefined ? 0 : this.#decoder.cachedPositions(prompt.ids.length);
    const sequence = target ?? this.#append(source.group);
    this.#decoder.copySlot(source.slot, sequence.slot, { start, end: source.cachedPositions });
    sequence.cachedPositions = source.cachedPositions;
    sequence.unreadIds = source.unreadIds;
    return sequence;
  }

  #append(group: SequenceGroup): Sequence {
    const sequence = new Sequence(group, this.#sequences.length);
    this.#sequences.push(sequence);
    return sequence;
  }

  /** The last sequence moves into the free slot, so that the slots have no gaps. */
  #free({ slot }: Sequence): void {
    const last = this.#sequences.pop() as Sequence;
    if (last.slot === slot) return;
    this.#decoder.copySlot(last.slot, slot, { start: 0, end: last.cachedPositions });
    last.slot = slot;
    this.#sequences[slot] = last;
  }
}
