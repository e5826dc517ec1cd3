/**
 * The memory that bodies take while they are read, and large replies while they are sent. An isolate has 128 MB for all of its requests, and one that needs more
 * is ended with every request in it: so a large body that does not fit beside others has to wait outside.
 */
import { ApiError } from '@blip2/shared/errors';
import { clientThat, isUnnamed } from '../turns/unnamed.ts';
import { AwaitedBodies, MOST_DOCUMENTS, MOST_REPLIES, OF_REPLIES } from './awaited-bodies.ts';
import { RecentPace } from './recent-pace.ts';
import {
  type ComingBody,
  gaveWay,
  givingWay,
  type Kind,
  REPLIES,
  RETRY_AFTER_S,
  SLOW,
  STILL,
  UPLOADS,
} from './slow-bodies.ts';

/**
 * Of each body, so that one without an image is never turned away because of large ones. No more: they are free for
 * everybody who opens a connection.
 */
const FREE_BYTES = 2 ** 16;

/** What one body takes beyond its free bytes. */
type Share = ComingBody & {
  bytes: number;
  /** Whether it was closed, or gave way. */
  isOver: boolean;
};

/** Of the bodies that this isolate reads. */
const shares = new Set<Share>();
/** Those of them that still come. */
const awaited = new AwaitedBodies<Share>(remove);
/** The replies, whatever they have in memory. */
const sent = new AwaitedBodies<Share>(remove, MOST_REPLIES, OF_REPLIES);
/** Those that need no key, and cost their client nothing. */
const documents = new AwaitedBodies<Share>(remove, MOST_DOCUMENTS, OF_REPLIES);

/** One body. Whoever has opened it must close it. */
export type HeldBody = {
  /**
   * It is going to come, or to be read: one of as many as are awaited at a time. Called before anything of it is read, so that who is refused gets its reply.
   * @throws ApiError `too-many-requests`, `overloaded` where as many come already, none of them slowly
   */
  begin(): void;
  /**
   * @param bytes that have come, or were read of a reply
   * @param held what stays in memory from now on
   * @throws ApiError `too-many-requests` when these bytes do not fit into the client's half beside its other bodies, `overloaded` when
   *   they do not fit beside those of others. Those whom nobody tells apart have all of it together
   */
  add(bytes: number, held?: number): void;
  /**
   * Waits for more of it, or for its reader.
   * @throws ApiError `overloaded` when it gives way to another meanwhile: then it counts no longer
   */
  during<T>(work: Promise<T>): Promise<T>;
  /** It goes on: it counts as closed so many milliseconds from now, and no sooner. */
  renew(): void;
  close(): void;
};

/**
 * @param most bytes of all bodies, of which those of one client may have half; one that is alone may have more
 * @param client who sends it
 * @param ms milliseconds after which it counts as closed: Cloudflare may stop a request without running its `finally`
 * @param signal aborted when the client goes away: then it counts as closed at once
 * @param isDocument whether it is a reply that is the same for all
 * @param now milliseconds since the epoch
 */
export function holdBody(
  most: number,
  {
    client,
    ms,
    signal,
    kind = 'body',
    isDocument = false,
    now = Date.now,
  }: {
    client: string;
    ms: number;
    signal?: AbortSignal | undefined;
    kind?: Kind;
    isDocument?: boolean;
    now?: () => number;
  },
): HeldBody {
  const limit = kind === 'upload' ? most * UPLOADS : most;
  const ofReplies = isDocument ? documents : sent;
  const openedAt = now();
  const share: Share = {
    ...{ client, kind, openedAt },
    ...{ bytes: -FREE_BYTES, expiresAt: openedAt + ms, end: undefined, isOver: false },
    pace: new RecentPace(openedAt),
  };
  const close = () => {
    signal?.removeEventListener('abort', close);
    remove(share);
  };
  signal?.addEventListener('abort', close);
  if (signal?.aborted) close();
  return {
    begin: () => {
      if (!share.isOver) (kind === 'reply' ? ofReplies : awaited).add(share, now());
    },
    add: (bytes, held = bytes) => {
      share.pace.add(bytes, now());
      share.bytes += held;
      if (share.bytes <= 0 || held === 0 || share.isOver) return;
      shares.add(share);
      const own = sharingWith(share, now()).filter((other) => other.client === client);
      if (!isUnnamed(client) && own.length > 0 && !hasRoom(share, own, now(), limit / 2)) {
        const detail = `${clientThat(client, 'has')} other large bodies under way: wait for their replies, and read them.`;
        throw new ApiError('too-many-requests', detail, { retry_after: RETRY_AFTER_S });
      }
      if (fits(share, limit, now())) return;
      const detail = 'Other large bodies are being read: try again, or send a smaller image.';
      throw new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
    },
    during: async (work) => {
      const ended = Promise.withResolvers<never>();
      const { reject } = ended;
      share.end = reject;
      share.pace.goOn(now());
      try {
        return await Promise.race([work, ended.promise]);
      } finally {
        // The next wait may have begun.
        if (share.end === reject) {
          share.end = undefined;
          share.pace.leave(now());
        }
        // An upload is awaited again as soon as what has come of it is stored.
        if (kind === 'body') awaited.leave(share);
      }
    },
    renew: () => {
      if (share.isOver) return;
      share.expiresAt = now() + ms;
      if (share.bytes > 0) shares.add(share);
    },
    close,
  };
}

/** Whether there is room for one beside all others, or it is alone. */
function fits(share: Share, limit: number, now: number): boolean {
  const others = sharingWith(share, now);
  if (others.length === 0) return true;
  const replies = others.filter(({ kind }) => kind === 'reply');
  if (share.kind === 'reply' && !hasRoom(share, replies, now, limit * REPLIES)) return false;
  const rest = others.filter(({ isOver }) => !isOver);
  return hasRoom(share, rest, now, limit, limit * REPLIES);
}

/** Those with which one shares its memory. */
function sharingWith(share: Share, now: number): Share[] {
  const others: Share[] = [];
  for (const other of shares) {
    if (other.expiresAt < now) shares.delete(other);
    else if (other !== share && isBeside(other, share)) others.push(other);
  }
  return others;
}

/** Uploads have memory of their own. */
function isBeside({ kind }: Share, { kind: other }: Share): boolean {
  return (kind === 'upload') === (other === 'upload');
}

/**
 * Whether there is room for one beside others; the slowest give way, where they are slow enough.
 * @param most bytes of all of them
 * @param mostOfReplies what of the replies counts at most: one that was alone may have more, and nobody has to wait for that
 */
function hasRoom(
  share: Share,
  others: readonly Share[],
  now: number,
  most: number,
  mostOfReplies = Number.POSITIVE_INFINITY,
): boolean {
  const held = { body: 0, upload: 0, reply: 0 };
  for (const { kind, bytes } of [share, ...others]) held[kind] += bytes;
  const isWithin = () => held.body + held.upload + Math.min(held.reply, mostOfReplies) <= most;
  if (isWithin()) return true;
  const pace = share.kind === 'reply' ? STILL : Math.min(SLOW, share.pace.at(now) / 2);
  const ended: Share[] = [];
  for (const other of givingWay(others, now, pace, ({ bytes }) => bytes)) {
    held[other.kind] -= other.bytes;
    ended.push(other);
    if (isWithin()) break;
  }
  if (!isWithin()) return false;
  for (const other of ended) {
    remove(other);
    other.end?.(gaveWay('the memory that it took', other.kind));
  }
  return true;
}

function remove(share: Share): void {
  share.isOver = true;
  shares.delete(share);
  awaited.leave(share);
  sent.leave(share);
  documents.leave(share);
}
