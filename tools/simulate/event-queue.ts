/** Simulated time: what happens when, in order; what was scheduled first happens first where times are equal. */

type Event = { at: number; order: number; run: () => void };

/**
 * @example
 * const events = new EventQueue();
 * events.after(5, () => console.log(events.now)); // 5
 * events.run();
 */
export class EventQueue {
  /** Milliseconds since the beginning. */
  now = 0;
  /** A binary heap: each event is before the two at twice its place and one, and two, further. */
  readonly #heap: Event[] = [];
  #scheduled = 0;

  /** @param ms from now; what is over happens now */
  after(ms: number, run: () => void): void {
    this.at(this.now + Math.max(0, ms), run);
  }

  /** @param at milliseconds since the beginning */
  at(at: number, run: () => void): void {
    const heap = this.#heap;
    const event = { at, order: this.#scheduled++, run };
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (isBefore(heap[parent]!, event)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = event;
  }

  /** Runs what happens until then, and what that causes; everything where no time is given. */
  run(until = Number.POSITIVE_INFINITY): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= until; next = this.#heap[0]) {
      this.#removeFirst();
      this.now = next.at;
      next.run();
    }
    if (Number.isFinite(until)) this.now = Math.max(this.now, until);
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (isBefore(last, heap[child]!)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
  }
}

const isBefore = (a: Event, b: Event) => a.at < b.at || (a.at === b.at && a.order < b.order);
