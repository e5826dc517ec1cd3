/** What a scenario is, and what becomes of one. */
import type { StackOptions } from '../local-stack.ts';
import type { Random } from './random.ts';
import type { Tally } from './traffic.ts';
import type { World } from './world.ts';

type About = {
  /** As `--only` takes it. */
  name: string;
  /** What happens, in a few words. */
  about: string;
};

/** Something that happens to a service amid its traffic. */
export type FaultScenario = About & {
  kind: 'fault';
  /** One of the few that every run of the tests has. */
  isShort?: true;
  /** The cache may forget what it was given: a 404 for a hash is no loss. */
  mayForget?: true;
  /** Others do harm, and nobody else may see anything but right answers: each other one counts as lost. */
  sparesOthers?: true;
  /** What the service is started with; `why` where this machine cannot run the scenario. */
  prepare?: () => Promise<Preparation | { why: string }>;
  /** Begins the fault, and ends it where it does not end by itself. */
  run: (world: World) => Promise<void>;
};

export type Preparation = AsyncDisposable & { options: StackOptions & { folder?: string } };

/** Something of its own, with no service or with several. */
export type TrialScenario = About & {
  kind: 'trial';
  run: (trial: Trial) => Promise<{ recoverySeconds: number | null; stuck: number }>;
};

export type Trial = { random: Random; tally: Tally; report: (line: string) => void };

export type Scenario = FaultScenario | TrialScenario;

/** One row of the table. */
export type Result = Pick<Scenario, 'name' | 'about'> &
  (
    | { skipped: string }
    /** The scenario itself failed. */
    | { broken: string }
    | ({ saw: [string, number][]; lost: number; wrong: number; stuck: number } & {
        /** The longest that a caller waited for the end of an answer or of an error. */
        longestSeconds: number;
        recoverySeconds: number | null;
        details: readonly string[];
      })
  );

/** Whether nothing is other than zero that has to be, and the service is well again. */
export function isGood(result: Result): boolean {
  if ('skipped' in result) return true;
  if ('broken' in result) return false;
  const { lost, wrong, stuck, recoverySeconds } = result;
  return lost + wrong + stuck === 0 && recoverySeconds !== null;
}
