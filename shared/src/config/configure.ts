/** Reads the configuration of a process, once, in its entry. */
import { readCommandLine } from './command-line.ts';
import { helpOf } from './help.ts';
import type { Options } from './option.ts';
import type { Configuration, Program } from './program.ts';
import { ConfigError, readOptions, type Texts } from './read-options.ts';
import { unknownVariables } from './unknown-variables.ts';

type Sources = { args: readonly string[]; env: Texts };
/** Gets what is odd and no error. */
type Warn = (message: string) => void;

/**
 * Reads the options of a program.
 * @returns null when help is asked for
 * @throws ConfigError that names everything that is wrong
 */
export function readProgram<O extends Options>(
  program: Program<O>,
  { args, env }: Sources,
  warn: Warn = () => {},
): Configuration<O> | null {
  const { options, arguments: names = [], family } = program;
  const { flags, positionals, help } = readCommandLine(options, args, countOf(names));
  if (help) return null;
  const warnings = family === undefined ? [] : unknownVariables(family, env);
  for (const warning of warnings) warn(warning);
  return { values: readOptions(options, { env, flags }), positionals };
}

/** How many arguments are accepted: the last name may stand for any number of them. */
function countOf(names: readonly string[]): number {
  return names.at(-1)?.endsWith('…') ? Number.POSITIVE_INFINITY : names.length;
}

/**
 * The first thing that an entry does: reads its options from this process's arguments and environment. Prints the
 * help and ends with 0 where that is asked for; prints what is wrong and ends with 1.
 */
export function configure<O extends Options>(
  program: Program<O>,
  warn: Warn = console.error,
): Configuration<O> {
  try {
    const sources = { args: process.argv.slice(2), env: process.env };
    const configuration = readProgram(program, sources, warn);
    if (configuration !== null) return configuration;
    console.log(helpOf(program));
    process.exit(0);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
