/** How long the start of another process that decodes images waits. */

/** Ends in a row of the processes of one place, without a reply between them. */
export type Ends = {
  /** Faults of the program, which a new start will hardly mend. */
  crashes: number;
  /** Signals from outside, which say nothing of the program. */
  kills: number;
};

const FIRST_MS = 200;
const LAST_CRASH_MS = 10_000;
const LAST_KILL_MS = 1000;

/**
 * Milliseconds before the next start: none after the first end, then twice as long each time.
 * @example restartDelayMs({ crashes: 0, kills: 25 }) // 1000
 */
export function restartDelayMs({ crashes, kills }: Ends): number {
  return Math.max(doubled(crashes, LAST_CRASH_MS), doubled(kills, LAST_KILL_MS));
}

function doubled(times: number, lastMs: number): number {
  return times < 2 ? 0 : Math.min(FIRST_MS * 2 ** (times - 2), lastMs);
}
