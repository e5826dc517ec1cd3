/** Runs one scenario: traffic, the fault amid it, recovery, the end of the traffic, and what is left. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from './random.ts';
import type { FaultScenario, Preparation, Result, Scenario, TrialScenario } from './scenario.ts';
import { Tally } from './traffic.ts';
import { World } from './world.ts';

const CALLERS = 8;
/** Right answers before a fault: every kind of call is under way by then. */
const FLOWING = 16;

export async function runScenario(
  scenario: Scenario,
  random: Random,
  report: (line: string) => void,
): Promise<Result> {
  const { name, about } = scenario;
  try {
    const outcome =
      scenario.kind === 'fault'
        ? await runFault(scenario, random, report)
        : await runTrial(scenario, random, report);
    return { name, about, ...outcome };
  } catch (error) {
    return { name, about, broken: error instanceof Error ? error.message : String(error) };
  }
}

async function runTrial({ run }: TrialScenario, random: Random, report: (line: string) => void) {
  const tally = new Tally();
  const rest = await run({ random, tally, report });
  return { ...summaryOf(tally), ...rest };
}

async function runFault(
  { prepare, run, mayForget, sparesOthers }: FaultScenario,
  random: Random,
  report: (line: string) => void,
) {
  const preparation = await prepare?.();
  if (preparation !== undefined && 'why' in preparation) return { skipped: preparation.why };
  await using prepared: Preparation = preparation ?? NOTHING;
  await using world = await World.open(random, { ...prepared.options, onEvent: report });
  const { traffic } = world;
  traffic.start(CALLERS);
  await traffic.flows(FLOWING);
  await delay(random.below(300));
  world.faulted();
  traffic.tally.longestMs = 0;
  await run(world);
  const recoverySeconds = await world.recovered();
  await traffic.stop();
  const { tally } = traffic;
  if (mayForget) tally.lost -= tally.saw.get('404 unknown-image') ?? 0;
  if (sparesOthers) tally.lost = callsOf(tally) - (tally.saw.get('200') ?? 0);
  return { ...summaryOf(tally), recoverySeconds, stuck: await world.stuck() };
}

const NOTHING: Preparation = { options: {}, [Symbol.asyncDispose]: async () => {} };

function callsOf({ saw }: Tally): number {
  return [...saw.values()].reduce((sum, count) => sum + count, 0);
}

function summaryOf({ saw, lost, wrong, details, longestMs }: Tally) {
  const ordered = [...saw].sort(([, a], [, b]) => b - a);
  return { saw: ordered, lost, wrong, details, longestSeconds: longestMs / 1000 };
}
