/** Ends a text before the first of some stop texts, without ever showing a part of one. */

export type StopFilter = {
  /** What of the text so far is certain to stay; `isStopped` once a stop text was found. */
  push(piece: string): { text: string; isStopped: boolean };
  /** What was held back, since nothing follows. */
  end(): string;
};

/** @param stops none lets everything through */
export function createStopFilter(stops: readonly string[]): StopFilter {
  const longest = Math.max(0, ...stops.map(({ length }) => length));
  let held = '';
  let isStopped = false;
  return {
    push: (piece) => {
      if (isStopped) return { text: '', isStopped };
      held += piece;
      const found = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      if (found.length > 0) {
        const text = held.slice(0, Math.min(...found));
        held = '';
        isStopped = true;
        return { text, isStopped };
      }
      const kept = openEnd(held, stops, longest);
      const text = held.slice(0, held.length - kept);
      held = held.slice(held.length - kept);
      return { text, isStopped };
    },
    end: () => {
      const text = held;
      held = '';
      return text;
    },
  };
}

/** Characters at the end of `text` that may be the beginning of a stop text. */
function openEnd(text: string, stops: readonly string[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}
