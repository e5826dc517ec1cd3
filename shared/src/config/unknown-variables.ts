/** Variables of an environment that begin as ours do and that nothing reads: probably mistyped. */
import { CLIENT_OPTIONS } from './client-options.ts';
import { nearest } from './nearest.ts';
import type { Options } from './option.ts';
import { ConfigError, type Texts } from './read-options.ts';

const PREFIX = 'BLIP2_';

/**
 * @param known options of all programs that such an environment may be for
 * @returns a warning for each that is like none of ours: it may be somebody else's
 * @throws ConfigError naming each that was surely meant to be another
 */
export function unknownVariables(known: Options, env: Texts): string[] {
  // A shell that calls the service may also start it.
  const names = Object.values({ ...known, ...CLIENT_OPTIONS })
    .flatMap(({ env: name, alias, formerly }) => [name, alias, formerly])
    .filter((name) => name !== undefined);
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && !names.includes(name) && env[name] !== '',
  );
  const mistyped = unknown.flatMap((name) => {
    const meant = nearest(name, names);
    return meant === undefined ? [] : [`Unknown variable ${name}. Did you mean ${meant}?`];
  });
  if (mistyped.length > 0) throw new ConfigError(mistyped.join('\n'));
  return unknown.map((name) => {
    const part = name.slice(PREFIX.length - 1);
    const likely = names.find((each) => each.startsWith(PREFIX) && each.endsWith(part));
    const advice = likely === undefined ? 'See --help.' : `Did you mean ${likely}?`;
    return `Nothing here reads ${name}. ${advice}`;
  });
}
