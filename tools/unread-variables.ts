/** Variables that somebody has set for `npm start` and that change nothing: those of the edge that it does not read, and mistyped ones. */
import { editDistance } from '@blip2/shared/config/nearest';
import { EDGE_OPTIONS } from '../edge/src/config.ts';
import { START } from './programs/service.ts';

/** @example unreadVariables({ MAX_IMAGE_BYTES: '1' }) // ['MAX_IMAGE_BYTES'] */
export function unreadVariables(
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const read: unknown[] = Object.values(START.options).map(({ env }) => env);
  return Object.values(EDGE_OPTIONS).flatMap(({ env }) =>
    env !== undefined && environment[env] !== undefined && !read.includes(env) ? [env] : [],
  );
}

/** Shorter names are near to those of others: `HOME` to `HOST`. */
const SHORTEST = 8;
/** In a name of so many letters two may be wrong, or in another order. */
const LONG = 14;

/** All that are read on some way, here or by the edge. */
const KNOWN = [...Object.values(EDGE_OPTIONS), ...Object.values(START.options)].flatMap(
  ({ env, alias, formerly }: { env?: string; alias?: string; formerly?: string }) =>
    [env, alias, formerly].filter((name) => name !== undefined),
);

/**
 * What was probably meant by variables that nothing reads, by their names. Those that begin as ours do are refused elsewhere
 * (`unknownVariables`); of these, which may be anybody's, only what is all but a name of ours is taken for one.
 * @param names of an environment, or of a list of variables
 * @param known names that are read
 * @example mistypedVariables(['REQUEST_PER_MINUTE', 'HOME']) // { REQUEST_PER_MINUTE: 'REQUESTS_PER_MINUTE' }
 */
export function mistypedVariables(
  names: readonly string[],
  known: readonly string[] = KNOWN,
): Record<string, string> {
  const meant = names.flatMap((name) => {
    if (name.length < SHORTEST || known.includes(name)) return [];
    const most = name.length < LONG ? 1 : 2;
    const [near] = known.filter((other) => editDistance(name, other) <= most);
    return near === undefined ? [] : [[name, near] as const];
  });
  return Object.fromEntries(meant);
}
