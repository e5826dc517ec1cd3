/** Reads options: texts of the environment and the command line in, one frozen value out. */
import { nameOf, type Option, type Options, type Values } from './option.ts';

/** Texts by name; an empty one counts as absent. */
export type Texts = Readonly<Record<string, string | undefined>>;

/** Options of a program are wrong; the message has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * The values of all options, a flag before a variable before the default. An empty text is unset, in both.
 * @param flags texts of the command line by flag, without dashes
 * @throws ConfigError that names every text that is wrong and what is allowed
 */
export function readOptions<O extends Options>(
  options: O,
  { env = {}, flags = {} }: { env?: Texts; flags?: Texts },
): Values<O> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options)) {
    const { formerly } = option;
    if (formerly !== undefined && env[formerly]) {
      problems.push(`${formerly} is not read any more: set ${option.env ?? nameOf(option)}.`);
    }
    const given = textOf(option, env, flags);
    if (given === undefined) {
      values[key] = option.default;
      continue;
    }
    const parsed = option.kind.schema.safeParse(given.text);
    if (parsed.success) values[key] = parsed.data;
    else problems.push(problemOf(option, given));
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return Object.freeze(values) as Values<O>;
}

/**
 * The environment that gives another process these values; what is unset is empty there, whatever this process
 * inherited.
 * @example toEnvironment({ port }, { port: 80 }) // { PORT: '80' }
 */
export function toEnvironment<O extends Options>(
  options: O,
  values: Values<O>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [key, { env: name, alias, kind }] of Object.entries(options)) {
    const value = values[key as keyof O];
    if (name === undefined) continue;
    if (alias !== undefined) env[alias] = '';
    env[name] = value === undefined || value === null ? '' : kind.format(value);
  }
  return env;
}

/** What a log may show of a configuration: no secret, nothing that is unset. */
export function printable<O extends Options>(
  options: O,
  values: Values<O>,
): Record<string, unknown> {
  const shown = Object.entries(options).flatMap(([key, { secret }]) => {
    const value: unknown = values[key as keyof O];
    if (!secret) return value === undefined ? [] : [[key, value] as const];
    // Of several there may be none.
    const isSet = Array.isArray(value) ? value.length > 0 : value !== undefined;
    return isSet ? [[key, 'set'] as const] : [];
  });
  return Object.fromEntries(shown);
}

type Given = { name: string; text: string };

function textOf(option: Option<unknown>, env: Texts, flags: Texts): Given | undefined {
  const { flag, env: variable, alias } = option;
  if (flag !== undefined && flags[flag]) return { name: `--${flag}`, text: flags[flag] };
  for (const name of [variable, alias]) {
    if (name !== undefined && env[name]) return { name, text: env[name] };
  }
  return undefined;
}

function problemOf({ kind, secret }: Option<unknown>, { name, text }: Given): string {
  return `${name} must be ${kind.allowed}${secret ? '' : `, not "${text}"`}.`;
}
