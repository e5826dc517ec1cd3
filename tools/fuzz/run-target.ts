/** Runs a target: makes inputs from a seed, counts what comes of them, and shrinks what must not happen. */
import * as fc from 'fast-check';
import type { OpenTarget } from './target.ts';

/** Something that must not happen, with the smallest input that still shows it. */
type Finding = {
  violation: string;
  /** Undefined where it shows only after all inputs. */
  input?: unknown;
  /** How often it was seen. */
  times: number;
};

export type Report = {
  cases: number;
  seconds: number;
  /** How many inputs had each kind of outcome. */
  outcomes: Map<string, number>;
  findings: Finding[];
};

export type RunOptions = {
  seed: number;
  cases: number;
  lanes: number;
  /** Milliseconds since the epoch after which no new input is made. */
  until?: number;
  onProgress?: (done: number) => void;
};

/** Inputs that one check of fast-check makes: it ends with the first of them that fails. */
const BATCH = 50;
/** Inputs tried to make one that fails smaller. */
const MOST_SHRINKS = 200;

/** The same seed makes the same inputs, whatever the number of lanes. */
export async function runTarget<Input>(
  target: OpenTarget<Input>,
  { seed, cases, lanes, until = Number.POSITIVE_INFINITY, onProgress = () => {} }: RunOptions,
): Promise<Report> {
  const startedAt = performance.now();
  const outcomes = new Map<string, number>();
  const findings = new Map<string, Finding>();
  let done = 0;
  let nextBatch = 0;

  const count = (outcome: string) => {
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    done++;
    onProgress(Math.min(done, cases));
  };

  /** @returns how many inputs of the batch have been run: the first new failure ends it */
  async function runBatch(batch: number, size: number): Promise<void> {
    let left = size;
    while (left > 0 && Date.now() < until) {
      // What is left of a batch after a failure needs inputs of its own.
      const ran = await check(mixed(seed, batch, size - left), left);
      left -= ran;
    }
  }

  async function check(batchSeed: number, numRuns: number): Promise<number> {
    let ran = 0;
    let shrinks = 0;
    let failed: string | undefined;
    const property = fc.asyncProperty(target.inputs, async (input) => {
      const isShrinking = failed !== undefined;
      if (isShrinking && ++shrinks > MOST_SHRINKS) return;
      if (!isShrinking && Date.now() > until) return;
      try {
        const outcome = await target.run(input);
        if (isShrinking) return;
        ran++;
        count(outcome);
      } catch (error) {
        const signature = signatureOf(error);
        if (isShrinking) {
          if (signature === failed) throw error;
          return;
        }
        ran++;
        count('finding');
        const known = findings.get(signature);
        if (known !== undefined) {
          known.times++;
          return;
        }
        failed = signature;
        findings.set(signature, { violation: textOf(error), input, times: 1 });
        throw error;
      }
    });
    const details = await fc.check(property, { seed: batchSeed, numRuns, verbose: 0 });
    const finding = failed === undefined ? undefined : findings.get(failed);
    const [smallest] = details.counterexample ?? [];
    if (finding !== undefined && smallest !== undefined) finding.input = smallest;
    return Math.max(ran, failed === undefined ? numRuns : 1);
  }

  const batches = Math.ceil(cases / BATCH);
  const lane = async () => {
    while (nextBatch < batches && Date.now() < until) {
      const batch = nextBatch++;
      await runBatch(batch, Math.min(BATCH, cases - batch * BATCH));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  try {
    await target.settle?.();
  } catch (error) {
    findings.set(signatureOf(error), { violation: textOf(error), times: 1 });
  }
  return {
    cases: done,
    seconds: (performance.now() - startedAt) / 1000,
    outcomes,
    findings: [...findings.values()],
  };
}

/** What makes two failures one finding: their first line, digits and what is quoted aside. */
function signatureOf(error: unknown): string {
  const [line = ''] = textOf(error).split('\n');
  return line
    .replaceAll(/"[^"]*"/g, '""')
    .replaceAll(/\/tmp\/\S+|\b[0-9a-f]{16,}\b/g, '')
    .replaceAll(/\d+/g, '0')
    .slice(0, 160);
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'Violation'
    ? error.message
    : (error.stack ?? `${error.name}: ${error.message}`);
}

/** Another seed for each part of a run, of 32 bits. */
function mixed(...parts: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    hash = Math.imul(hash ^ (part | 0), 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash | 0;
}
