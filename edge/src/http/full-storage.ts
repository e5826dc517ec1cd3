/** The problem of a disk, or a database, that is full. */
import { ApiError } from '@blip2/shared/errors';

/** What Durable Objects, SQLite and the system say. */
const FULL = /SQLITE_FULL|database or disk is full|No space left|ENOSPC/i;

/** @returns null where what was thrown is something else */
export function fullStorage(thrown: unknown): ApiError | null {
  if (thrown instanceof ApiError && thrown.slug !== 'internal-error') return null;
  const { message, cause } = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (!FULL.test(`${message} ${cause}`)) return null;
  const detail = 'The storage of this service is full: what needs none is still served.';
  return new ApiError('overloaded', detail, { retry_after: 60, cause: thrown });
}
