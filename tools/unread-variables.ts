/** Which settings of a deployed edge `npm start` leaves unread. */
import { EDGE_OPTIONS } from '../edge/src/config.ts';
import { START } from './programs.ts';

/**
 * Variables of the edge that are set in an environment, and that `npm start` does not read.
 * @example unreadVariables({ MAX_IMAGE_BYTES: '1' }) // ['MAX_IMAGE_BYTES']
 */
export function unreadVariables(
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const read = new Set<string | undefined>(
    Object.values(START.options).map((each) => ('env' in each ? each.env : undefined)),
  );
  return Object.values(EDGE_OPTIONS).flatMap(({ env }) =>
    env !== undefined && environment[env] !== undefined && !read.has(env) ? [env] : [],
  );
}
