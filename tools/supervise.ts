/** Keeps a part of the stack running: notices that it has ended or hangs, and starts it again, for ever. */
import { setTimeout as delay } from 'node:timers/promises';
import { ActivityMeter } from '@blip2/gpu-worker/image/process-usage';
import { BACKOFF, type Backoff, countFailure, delayOf } from './backoff.ts';
import { Silence, type SilencePatience } from './silence.ts';

/** What a look at a part finds: no answer in time, nobody at its port, or a part that itself says what is wrong. */
export type Finding = 'well' | 'silent' | 'closed' | { wrong: string };

/** A part while it runs. */
export type Running = {
  /** How it ended, when it has: `SIGKILL`, `code 1`. */
  ended: Promise<string>;
  /** @param signal aborts when the answer is too late, or not needed any more */
  look: (signal: AbortSignal) => Promise<Finding>;
  /** Process id of what may hang; 0 where there is none. */
  pid?: () => Promise<number>;
  /** Ends it, whatever state it is in; does nothing where it has ended. */
  kill: () => Promise<void>;
};

export type Part = {
  /** As a sentence begins with it. */
  name: string;
  /** What is served while it is gone. */
  meanwhile: string;
  /** For one that does not answer, and how many looks in a row may find nobody. */
  patience: SilencePatience & { closed: number };
  /**
   * Starts it, and waits until it is ready.
   * @param signal aborts the start
   * @throws Error that says why it did not start, with nothing left behind
   */
  start: (signal: AbortSignal) => Promise<Running>;
};

export type SuperviseOptions = {
  /** Gets a line when something has happened. */
  report: (line: string) => void;
  backoff?: Backoff;
  /** Milliseconds between two looks. */
  lookMs?: number;
  /** Milliseconds in which a look expects an answer, and in which it does while the part computes and has not answered. */
  answerMs?: { usual: number; busy: number };
};

export type Supervision = {
  /** Ends the supervision and what it is starting; what runs goes on. */
  stop: () => Promise<void>;
};

/** Whoever calls a busy part waits behind others. */
const ANSWER_MS = { usual: 2000, busy: 10_000 };
/** Failures in a row that a new start will hardly mend. */
const MANY = 5;

/**
 * Watches a part that runs, and every one that it starts in its place.
 * @example
 * const supervision = supervise(gpuWorker, running, { report: console.error });
 * …
 * await supervision.stop();
 */
export function supervise(part: Part, running: Running, options: SuperviseOptions): Supervision {
  const stopping = new AbortController();
  const done = keep(part, running, options, stopping.signal);
  return {
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}

async function keep(
  part: Part,
  first: Running,
  { report, backoff = BACKOFF, lookMs = 1000, answerMs = ANSWER_MS }: SuperviseOptions,
  signal: AbortSignal,
): Promise<void> {
  const { name, meanwhile, start } = part;
  let running = first;
  for (let failures = 0; ; ) {
    const startedAt = performance.now();
    const how = await failureOf(part, running, { lookMs, answerMs }, signal);
    if (how === null) return;
    const failedAt = performance.now();
    report(`${name} ${how}. ${meanwhile} Another is started …`);
    await running
      .kill()
      .catch(({ message }: Error) => report(`${name} could not be ended: ${message}`));
    failures = countFailure(failures, failedAt - startedAt, backoff);
    for (;;) {
      const wait = delayOf(failures, backoff);
      if (failures >= MANY) report(repeated(name, failures, wait));
      const next = await after(wait, start, signal);
      if (signal.aborted) return;
      if (!(next instanceof Error)) {
        running = next;
        break;
      }
      failures += 1;
      const again = `Next try in ${secondsOf(delayOf(failures, backoff))}.`;
      report(`${name} did not start: ${next.message} ${again}`);
    }
    report(`${name} is back after ${secondsOf(performance.now() - failedAt)}.`);
  }
}

/** What has become of a start. */
async function after(
  ms: number,
  start: Part['start'],
  signal: AbortSignal,
): Promise<Running | Error> {
  try {
    await delay(ms, undefined, { signal });
    return await start(signal);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/** Waits until the part has failed. @returns how it failed; null when the signal aborts */
async function failureOf(
  { patience }: Part,
  { ended, look, pid = async () => 0 }: Running,
  { lookMs, answerMs }: { lookMs: number; answerMs: { usual: number; busy: number } },
  signal: AbortSignal,
): Promise<string | null> {
  const meter = new ActivityMeter();
  let silence = new Silence(patience);
  let closed = 0;
  let end: string | undefined;
  const over = new AbortController();
  ended.then((how) => {
    end = `ended (${how})`;
    over.abort();
  });
  const waking = AbortSignal.any([signal, over.signal]);
  for (let lookedAt = performance.now(); ; ) {
    await delay(lookMs, undefined, { signal: waking }).catch(() => {});
    const finding = await answerOf(look, silence.isBusy ? answerMs.busy : answerMs.usual, waking);
    const done = meter.read(await pid());
    const ms = performance.now() - lookedAt;
    lookedAt += ms;
    if (signal.aborted) return null;
    if (end !== undefined) return end;
    if (typeof finding === 'object') return `hangs: ${finding.wrong}`;
    closed = finding === 'closed' ? closed + 1 : 0;
    if (closed >= patience.closed) return 'accepts no connections any more';
    if (finding !== 'silent') silence = new Silence(patience);
    const hung = finding === 'silent' ? silence.add(done, ms) : null;
    if (hung !== null) return hung;
  }
}

/** What a look finds within so many milliseconds, or until it is not needed any more. */
async function answerOf(look: Running['look'], ms: number, waking: AbortSignal): Promise<Finding> {
  if (waking.aborted) return 'well';
  const over = new AbortController();
  const abort = () => over.abort();
  const timeout = setTimeout(abort, ms);
  waking.addEventListener('abort', abort, { once: true });
  try {
    return await look(over.signal);
  } finally {
    clearTimeout(timeout);
    waking.removeEventListener('abort', abort);
  }
}

function repeated(name: string, failures: number, waitMs: number): string {
  const times = `${name} has failed ${failures} times in a row: a new start alone does not mend it.`;
  return `${times} See what it wrote above. It is tried again in ${secondsOf(waitMs)}, and so on.`;
}

function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Looks at a part by HTTP. @param signal aborts when it is silent for too long @param isWell whether this answer is one of a part that is well; a problem's detail says why not */
export async function lookAt(
  url: string,
  signal: AbortSignal,
  isWell: (response: Response) => boolean,
): Promise<Finding> {
  try {
    const response = await fetch(url, { signal });
    if (isWell(response)) {
      await response.body?.cancel();
      return 'well';
    }
    const { detail = `it replied with status ${response.status}.` } = (await response
      .json()
      .catch(() => ({}))) as { detail?: string };
    return { wrong: detail.replace(/\.$/, '') };
  } catch {
    return signal.aborted ? 'silent' : 'closed';
  }
}
