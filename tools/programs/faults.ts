/** Commands that show what the service survives. */
import { choices, list, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';

/** What `npm run fuzz` gives inputs to: tools/fuzz/targets.ts has a target of each of these names. */
const FUZZ_TARGETS = [
  'frames',
  'embedding-values',
  'command-line',
  'configs',
  'tokenizers',
  'weights',
  'api',
  'worker',
  'images',
  'kv',
  'kv-replies',
  'jobs',
  'raw-http',
] as const;

const fuzzing = 'Fuzzing';

export const FUZZ = {
  command: 'npm run fuzz --',
  summary:
    'Gives made-up inputs to everything that reads bytes from outside, keeps those that do harm below test/fuzz/corpus/, and ends with 1 where there are any.',
  options: {
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 31 - 1),
      defaultText: 'a random one, which is printed',
      group: fuzzing,
      help: 'the same seed, targets and number of cases give the same inputs',
    }),
    cases: option({
      flag: 'cases',
      kind: wholeNumber(1, 100_000_000),
      default: 50_000,
      group: fuzzing,
      help: 'inputs of all targets together',
    }),
    minutes: option({
      flag: 'minutes',
      kind: wholeNumber(1, 100_000),
      defaultText: 'as long as it takes',
      group: fuzzing,
      help: 'time after which no further inputs are made',
    }),
    only: option({
      flag: 'only',
      kind: choices(...FUZZ_TARGETS),
      group: fuzzing,
      help: 'these targets',
    }),
    replay: option({
      flag: 'replay',
      kind: text('PATH'),
      group: fuzzing,
      help: 'run stored inputs, of one file or of a folder, instead of new ones',
    }),
    verbose: option({
      flag: 'verbose',
      kind: toggle(),
      default: false,
      group: fuzzing,
      help: 'show what edge and GPU worker log',
    }),
  },
};

const breaking = 'Chaos';

export const CHAOS = {
  command: 'npm run chaos --',
  summary:
    'Breaks the service on purpose (kills, stops, slow and cut connections, damaged files, overload) while callers use it; prints what they saw, and ends with 1 when work was lost, a slot stayed taken, an answer was wrong, or it did not recover.',
  options: {
    only: option({
      flag: 'only',
      kind: list('NAME'),
      defaultText: 'all',
      group: breaking,
      help: 'scenarios by name, with commas between them',
    }),
    list: option({
      flag: 'list',
      kind: toggle(),
      default: false,
      group: breaking,
      help: 'print the names of all scenarios, and what they do',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      defaultText: 'one by chance, which is printed',
      group: breaking,
      help: 'decides the moments of faults and the order of calls',
    }),
  },
};

const proving = 'Proof';

export const PROVE_JOBS = {
  command: 'npm run prove-jobs --',
  summary:
    'Proves that every item of a job has exactly one result, whatever is killed, lost or doubled, and measures what a running job costs those who ask; ends with 1 when anything does not add up.',
  options: {
    items: option({
      flag: 'items',
      kind: wholeNumber(8, 4_000_000),
      defaultText: '2000, with --million 1000000',
      group: proving,
      help: 'items of the job; a quarter as many of the one that is canceled',
    }),
    million: option({
      flag: 'million',
      kind: toggle(),
      default: false,
      group: proving,
      help: 'in place of all else, as many items as one job may have, with a stand-in for the GPU worker: rates and memory',
    }),
    interactive: option({
      flag: 'interactive',
      kind: toggle(),
      default: false,
      group: proving,
      help: 'only measure what a running job costs those who ask',
    }),
    seed: option({
      flag: 'seed',
      kind: wholeNumber(0, 2 ** 32 - 1),
      defaultText: 'one by chance, which is printed',
      group: proving,
      help: 'decides images, poison, and the moments of faults',
    }),
  },
};
