/** Which of the bodies that come, and of the replies that are read, give way where there is no room for another: so nobody keeps others out by sending just enough. */
import { ApiError } from '@blip2/shared/errors';
import type { RecentPace } from './recent-pace.ts';
import { SLICE_BYTES } from './slices.ts';

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
 * Those that may give way, in this order: the slowest first. Where that is a reply, one of the client whose replies have most goes in its
 * place, the slowest of them: so nobody ends the replies of others with many of his own.
 * @param pace bytes a second, of which they have come with less
 * @param has how much of what is short one has
 */
export function* givingWay<Body extends ComingBody>(
  bodies: readonly Body[],
  now: number,
  pace: number,
  has: (body: Body) => number,
): Generator<Body, void, undefined> {
  const slow = new Set(slowestOf(bodies, now, pace));
  const held = new Map<string, number>();
  const count = (client: string, more: number) => held.set(client, (held.get(client) ?? 0) + more);
  for (const body of bodies) if (body.kind === 'reply') count(body.client, has(body));
  const most = (one: Body, other: Body) =>
    (held.get(other.client) ?? 0) > (held.get(one.client) ?? 0) ? other : one;
  for (;;) {
    const [slowest] = slow;
    if (slowest === undefined) return;
    const isReply = slowest.kind === 'reply';
    const next = isReply ? [...slow].filter(({ kind }) => kind === 'reply').reduce(most) : slowest;
    slow.delete(next);
    if (isReply) count(next.client, -has(next));
    yield next;
  }
}

function slowestOf<Body extends ComingBody>(
  bodies: readonly Body[],
  now: number,
  pace: number,
): Body[] {
  return (
    [...bodies]
      .filter(({ end, openedAt }) => end !== undefined && now - openedAt >= COMPARED_MS)
      // Of a reply a slice is being read, which counts when all of it was.
      .map((body) => ({
        body,
        itsPace: body.pace.at(now, body.kind === 'reply' ? SLICE_BYTES : 0),
      }))
      .filter(({ itsPace }) => itsPace < pace)
      .sort((a, b) => a.itsPace - b.itsPace)
      .map(({ body }) => body)
  );
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
