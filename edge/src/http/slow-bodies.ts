/** Which of the bodies that come, and of the replies that are read, give way where there is no room for another: so nobody keeps others out by sending just enough. */
import { ApiError } from '@blip2/shared/errors';
import type { RecentPace } from './recent-pace.ts';

/** Bytes a second: a body that came more slowly in the last seconds gives way. */
export const SLOW = 256 * 1024;
/** Sooner, the pace of a body says little. */
const COMPARED_MS = 5000;
export const RETRY_AFTER_S = 1;

/** Bytes a second: what moves more slowly stands nearly still, and gives way to a reply, of which nobody knows how fast it will be read. */
export const STILL = 16 * 1024;

/** An upload may take an hour: all of them have a budget of their own, so that bodies, which images are, never wait for any. */
export type Kind = 'body' | 'upload' | 'reply';
/** Part of each limit that uploads have beside the bodies. */
export const UPLOADS = 1 / 2;
/** Part of what bodies and replies share that all replies may have: bodies find the rest, also where nobody reads what was asked for. */
export const REPLIES = 3 / 4;

/** A body that comes, or a reply that is read, and of whom it is. */
export type ComingBody = {
  client: string;
  kind: Kind;
  openedAt: number;
  expiresAt: number;
  /** Of bytes that come, or are read, held or not. */
  pace: RecentPace;
  /** Ends the wait for its client; undefined where nobody waits. */
  end: ((error: ApiError) => void) | undefined;
};

/**
 * Those that may give way, the slowest first.
 * @param pace bytes a second, of which they have come with less
 */
export function slowestOf<Body extends ComingBody>(
  bodies: Iterable<Body>,
  now: number,
  pace = SLOW,
): Body[] {
  return [...bodies]
    .filter(({ end, openedAt }) => end !== undefined && now - openedAt >= COMPARED_MS)
    .map((body) => ({ body, itsPace: body.pace.at(now) }))
    .filter(({ itsPace }) => itsPace < pace)
    .sort((a, b) => a.itsPace - b.itsPace)
    .map(({ body }) => body);
}

/** @param what of it others needed */
export function gaveWay(what: string, kind: Kind): ApiError {
  if (kind === 'reply') {
    const detail = `This reply was read slowly, and others needed ${what}: ask for it again, and read on.`;
    return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
  }
  const detail = `This body came slowly, and others needed ${what}: send it again, over a faster connection.`;
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}
