/** Runs targets one after another, or stored inputs. */

import { inputsIn, readInput } from './input-file.ts';
import { type Report, runTarget } from './run-target.ts';
import type { FuzzStack } from './stack.ts';
import { startFuzzStack } from './stack.ts';
import type { AnyTarget, Shared } from './target.ts';
import { casesOf } from './targets.ts';

export type CampaignOptions = {
  seed: number;
  cases: number;
  /** Milliseconds since the epoch after which no new input is made. */
  until?: number;
  isVerbose?: boolean;
  onProgress?: (done: number, label: string) => void;
  onReport?: (target: AnyTarget, report: Report) => Promise<void>;
};

/** @returns what came of each target */
export async function campaign(
  targets: readonly AnyTarget[],
  { seed, cases, until, isVerbose = false, onProgress = () => {}, onReport }: CampaignOptions,
): Promise<Map<AnyTarget, Report>> {
  await using shared = new LazyStack(isVerbose);
  const reports = new Map<AnyTarget, Report>();
  const all = casesOf(targets, cases);
  const total = [...all.values()].reduce((sum, own) => sum + own, 0);
  let before = 0;
  for (const [target, own] of all) {
    await using open = await target.open(shared);
    const report = await runTarget(open, {
      seed,
      cases: own,
      lanes: target.lanes,
      ...(until === undefined ? {} : { until: partOf(until, own / (total - before)) }),
      onProgress: (done) => onProgress(before + done, target.name),
    });
    before += own;
    reports.set(target, report);
    await onReport?.(target, report);
  }
  return reports;
}

/** When a part of the time that is left is over. */
function partOf(until: number, part: number): number {
  return Date.now() + part * Math.max(0, until - Date.now());
}

/** What came of a stored input: the kind of outcome, or what is wrong still. */
export type Replayed = { path: string; outcome: string } | { path: string; violation: string };

/** Runs stored inputs for some targets, and checks afterwards what a target checks. */
export async function replay(
  targets: readonly AnyTarget[],
  corpus: string,
  isVerbose = false,
): Promise<Replayed[]> {
  const paths = corpus.endsWith('.json') ? [corpus] : await inputsIn(corpus);
  const stored = await Promise.all(
    paths.map(async (path) => ({ path, ...(await readInput(path)) })),
  );
  await using shared = new LazyStack(isVerbose);
  const replayed: Replayed[] = [];
  for (const target of targets) {
    const own = stored.filter((input) => input.target === target.name);
    if (own.length === 0) continue;
    await using open = await target.open(shared);
    for (const { path, input } of own) {
      replayed.push({ path, ...(await attempt(() => open.run(input))) });
    }
    const after = await attempt(async () => (await open.settle?.()) ?? '');
    if ('violation' in after) replayed.push({ path: target.name, ...after });
  }
  return replayed;
}

async function attempt(run: () => Promise<string>) {
  try {
    return { outcome: await run() };
  } catch (error) {
    return { violation: (error as Error).message };
  }
}

/** The service, started when it is first needed. */
class LazyStack implements Shared, AsyncDisposable {
  readonly #isVerbose: boolean;
  #stack: Promise<FuzzStack> | undefined;

  constructor(isVerbose: boolean) {
    this.#isVerbose = isVerbose;
  }

  stack(): Promise<FuzzStack> {
    this.#stack ??= startFuzzStack(this.#isVerbose);
    return this.#stack;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#stack)?.[Symbol.asyncDispose]();
  }
}
