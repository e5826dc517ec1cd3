/** Ends a text before the first of its stop sequences, without ever emitting a part of one. */

export type StopFilter = {
  /** The text that is final now; `isStopped` once a stop sequence was found. */
  push(delta: string): { text: string; isStopped: boolean };
  /** The text that was held back as a possible beginning of a stop sequence. */
  end(): string;
};

/**
 * @param stops stop sequences; none lets everything through
 * @example
 * const filter = createStopFilter(['dog!']);
 * filter.push('a do'); // { text: 'a ', isStopped: false }: 'do' may be the beginning of 'dog!'
 * filter.push('or');   // { text: 'door', isStopped: false }
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  const longest = Math.max(0, ...stops.map(({ length }) => length));
  let held = '';
  let isStopped = false;
  return {
    push: (delta) => {
      if (isStopped) return { text: '', isStopped };
      held += delta;
      const starts = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      if (starts.length > 0) {
        const text = held.slice(0, Math.min(...starts));
        held = '';
        isStopped = true;
        return { text, isStopped };
      }
      const openLength = openEnd(held, stops, longest);
      const text = held.slice(0, held.length - openLength);
      held = held.slice(held.length - openLength);
      return { text, isStopped };
    },
    end: () => {
      const text = held;
      held = '';
      return text;
    },
  };
}

/** Characters at the end of `text` that may be the beginning of a stop sequence. */
function openEnd(text: string, stops: readonly string[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}
