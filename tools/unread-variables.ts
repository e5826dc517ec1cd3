/** Variables of the edge that somebody has set for `npm start`, which reads a few of them only. */
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
