/** Reads a command line by the declared flags: unknown flags are refused, with a suggestion. */
import { parseArgs } from 'node:util';
import { nearest } from './nearest.ts';
import type { Options } from './option.ts';
import { ConfigError, type Texts } from './read-options.ts';

/** Texts by flag, `1` for a switch; what is no flag, in order; whether help was asked for. */
export type CommandLine = { flags: Texts; positionals: string[]; help: boolean };

type DeclaredFlag = {
  type: 'string' | 'boolean';
  placeholder: string | null;
  short?: string;
  repeats?: true;
};

/**
 * @param args what follows the program's name
 * @param argumentCount how many arguments that are no flags the program accepts
 * @throws ConfigError for a flag that is unknown, lacks its value or has one that it must not have, and for too many arguments
 */
export function readCommandLine(
  options: Options,
  args: readonly string[],
  argumentCount = 0,
): CommandLine {
  const declared = new Map<string, DeclaredFlag>();
  declared.set('help', { type: 'boolean', placeholder: null, short: 'h' });
  for (const { flag, short, kind } of Object.values(options)) {
    if (flag === undefined) continue;
    const { placeholder, repeats } = kind;
    const type = placeholder === null ? 'boolean' : 'string';
    declared.set(flag, { type, placeholder, ...(short && { short }), ...(repeats && { repeats }) });
  }
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      [...declared].map(([flag, { type, short }]) => [flag, { type, ...(short && { short }) }]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const flags: Record<string, string> = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    const known = declared.get(name);
    if (known === undefined) throw unknownFlag(rawName, [...declared.keys()]);
    if (known.type === 'boolean' && value !== undefined) {
      throw new ConfigError(`${rawName} accepts no value.`);
    }
    if (known.type === 'string' && (value === undefined || value.startsWith('--'))) {
      throw new ConfigError(`${rawName} lacks its value: ${rawName} ${known.placeholder}`);
    }
    const before = known.repeats && flags[name] !== undefined ? `${flags[name]}\n` : '';
    flags[name] = before + (value ?? '1');
  }
  const { help, ...rest } = flags;
  if (help === undefined && positionals.length > argumentCount) {
    throw new ConfigError(
      `Unknown argument "${positionals[argumentCount]}": ${argumentCount === 0 ? 'none is' : `at most ${argumentCount} are`} accepted. See --help.`,
    );
  }
  return { flags: rest, positionals, help: help !== undefined };
}

function unknownFlag(rawName: string, known: readonly string[]): ConfigError {
  const flag = nearest(rawName.replace(/^-+/, ''), known);
  const advice = flag === undefined ? 'See --help.' : `Did you mean --${flag}?`;
  return new ConfigError(`Unknown option ${rawName}. ${advice}`);
}
