/** Progress of a pull: from the bytes of each file to how far it is, how fast, and how long it will take. */

/** `done` of `total` bytes; `label` says how much that is, how fast it comes and how long it will take. */
export type PullProgress = { done: number; total: number; label: string };

/** The rate is that of the last ten seconds or so. */
const WINDOW_MS = 10_000;
const REPORT_EVERY_MS = 200;

export class PullProgressTracker {
  readonly #total: number;
  readonly #report: (progress: PullProgress) => void;
  readonly #now: () => number;
  readonly #bytes = new Map<string, number>();
  #window: { at: number; bytes: number }[] = [];
  #done = 0;
  /** Bytes received in this run: those of an earlier one say nothing of the rate. */
  #received = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param total bytes of all files
   * @param now milliseconds of a clock that never goes back
   */
  constructor(total: number, report: (progress: PullProgress) => void, now: () => number) {
    this.#total = total;
    this.#report = report;
    this.#now = now;
  }

  /** Bytes of the file that an earlier run has brought. */
  resume(path: string, bytes: number): void {
    this.#done += bytes - (this.#bytes.get(path) ?? 0);
    this.#bytes.set(path, bytes);
  }

  /** Bytes that there are of the file now. */
  update(path: string, bytes: number): void {
    this.#received += Math.max(0, bytes - (this.#bytes.get(path) ?? 0));
    this.resume(path, bytes);
    const at = this.#now();
    if (at - this.#reportedAt < REPORT_EVERY_MS && this.#done < this.#total) return;
    this.#reportedAt = at;
    this.#window.push({ at, bytes: this.#received });
    this.#window = this.#window.filter((entry) => entry.at >= at - WINDOW_MS);
    this.#report({ done: this.#done, total: this.#total, label: this.#label() });
  }

  #label(): string {
    const amount = `${formatBytes(this.#done)} of ${formatBytes(this.#total)}`;
    const [first, last] = [this.#window[0]!, this.#window.at(-1)!];
    const perSecond = ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
    const isMoving = perSecond > 0 && Number.isFinite(perSecond);
    if (!isMoving || this.#done === this.#total) return amount;
    const left = formatSeconds((this.#total - this.#done) / perSecond);
    return `${amount}, ${formatBytes(perSecond)}/s, ${left} left`;
  }
}

/** @example formatBytes(7_489_523_712) // '7.49 GB' */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

/** @example formatSeconds(125) // '2 min 5 s' */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
