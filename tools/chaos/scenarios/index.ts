/** All scenarios, in the order of the table. */
import type { Scenario } from '../scenario.ts';
import { FILE_SCENARIOS } from './files.ts';
import { HOSTILE_SCENARIOS } from './hostile.ts';
import { JOB_SCENARIOS } from './jobs.ts';
import { LOAD_SCENARIOS } from './load.ts';
import { NETWORK_SCENARIOS } from './network.ts';
import { PROCESS_SCENARIOS } from './processes.ts';
import { STORAGE_SCENARIOS } from './storage.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...PROCESS_SCENARIOS,
  ...NETWORK_SCENARIOS,
  ...STORAGE_SCENARIOS,
  ...FILE_SCENARIOS,
  ...JOB_SCENARIOS,
  ...LOAD_SCENARIOS,
  ...HOSTILE_SCENARIOS,
];

/** Those that every run of the tests has. */
export const SHORT_SCENARIOS = SCENARIOS.filter((one) => one.kind === 'fault' && one.isShort);
