/** An option of a program, declared once: its variable, flag, kind, default and help. */
import type { Kind } from './kinds.ts';

/**
 * One option. Its value comes from the command line, else from the environment, else it is the default.
 * The help text, the errors and the page of the documentation come from the declaration too.
 */
export type Option<T> = {
  /** Environment variable; an option of the command line only has none. */
  readonly env?: string;
  /** Another spelling of the variable, read where the first is unset. */
  readonly alias?: string;
  /** Long flag, without dashes. */
  readonly flag?: string;
  /** One letter that means the same as the flag, after one dash. */
  readonly short?: string;
  readonly kind: Kind<NonNullable<T>>;
  readonly default: T;
  /** How the default reads in documents, where it depends on the machine or is nothing. */
  readonly defaultText?: string;
  /** One line without a full stop. */
  readonly help: string;
  /** Heading under which the option is documented. */
  readonly group: string;
  /** Never printed. */
  readonly secret: boolean;
  /** A variable that meant this in earlier versions, and is refused now. */
  readonly formerly?: string;
};

/** The options of a program by the names of their values. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The values of options; read once and frozen. */
export type Values<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

type Declaration<T> = Omit<Option<T>, 'default' | 'secret' | 'kind'> & {
  kind: Kind<T>;
  secret?: true;
} & ({ env: string } | { flag: string });

/**
 * Declares an option; without a default its value may be undefined.
 * @example option({ env: 'PORT', flag: 'port', kind: wholeNumber(0, 65535), default: 8787, group: 'Edge', help: 'port' })
 */
export function option<T>(declaration: Declaration<T> & { default: NoInfer<T> }): Option<T>;
export function option<T>(declaration: Declaration<T>): Option<T | undefined>;
export function option<T>({
  secret = false as true,
  ...declaration
}: Declaration<T> & { default?: T }): Option<T | undefined> {
  return { default: undefined, ...declaration, secret } as Option<T | undefined>;
}

/** The defaults of options, with some values in their place: a configuration that nothing was read for. */
export function withDefaults<O extends Options>(
  options: O,
  values: Partial<Values<O>> = {},
): Values<O> {
  const defaults = Object.entries(options).map(([key, { default: value }]) => [key, value]);
  return Object.freeze({ ...Object.fromEntries(defaults), ...values }) as Values<O>;
}

/** How an option is named to people: its flag, else its variable. */
export function nameOf({ flag, env }: Option<unknown>): string {
  return flag === undefined ? (env ?? '') : `--${flag}`;
}
