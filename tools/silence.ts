/** Whether a part that does not answer hangs, or has too much to do: what it does meanwhile tells. */
import type { Activity } from '@blip2/gpu-worker/image/process-usage';

export type SilencePatience = {
  /** How many looks in a row may get no answer in time from a part that does nothing. */
  silent: number;
  /** Milliseconds for which one that computes may be silent. */
  busyMs: number;
};

/** A silence, from the first look that gets no answer in time. */
export class Silence {
  readonly #patience: SilencePatience;
  #looks = 0;
  #idle = 0;
  #busyMs = 0;

  constructor(patience: SilencePatience) {
    this.#patience = patience;
  }

  /** Whether the part has computed meanwhile, so that it may need longer for an answer. */
  get isBusy(): boolean {
    return this.#looks > 0 && this.#idle === 0;
  }

  /**
   * Adds a look without an answer.
   * @param activity of the part since the look before; null where nobody knows
   * @param ms since the look before
   * @returns why the part is given up, where it is
   */
  add(activity: Activity | null, ms: number): string | null {
    this.#looks += 1;
    // Whatever it has done before it hung counts in the first look.
    this.#idle = activity === null || activity === 'nothing' ? this.#idle + 1 : 0;
    // What gets no processor time would get none in another process either.
    if (activity === 'computed') this.#busyMs += ms;
    const { silent, busyMs } = this.#patience;
    if (this.#looks >= silent && this.#idle >= silent - 1) return 'does not answer any more';
    if (this.#busyMs < busyMs) return null;
    return `computes, but has not answered for ${Math.round(this.#busyMs / 1000)} s`;
  }
}
