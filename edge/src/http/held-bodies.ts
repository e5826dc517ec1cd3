/**
 * The memory that bodies take while they are read. An isolate has 128 MB for all of its requests, and one that needs more
 * is ended with every request in it: so a large body that does not fit beside others has to wait outside.
 */
import { ApiError } from '@blip2/shared/errors';

/**
 * Of each body, so that one without an image is never turned away because of large ones. No more: they are free for
 * everybody who opens a connection.
 */
const FREE_BYTES = 2 ** 16;
const RETRY_AFTER_S = 1;

/** What one body takes beyond its free bytes, and of whom it is. */
type Share = { client: string; kind: Kind; bytes: number; expiresAt: number };

/** An upload may take an hour: all of them have a budget of their own, so that bodies, which images are, never wait for any. */
type Kind = 'body' | 'upload';
/** Part of the limit that uploads have beside the bodies. */
const UPLOADS = 1 / 2;

/** Of the bodies that this isolate reads. */
const shares = new Set<Share>();

/** One body. Whoever has opened it must close it. */
export type HeldBody = {
  /**
   * @throws ApiError `too-many-requests` when these bytes do not fit into the client's half beside its other bodies, `overloaded` when
   *   they do not fit beside those of others
   */
  add(bytes: number): void;
  close(): void;
};

/**
 * @param most bytes of all bodies, of which those of one client may have half; one that is alone may have more
 * @param client who sends it
 * @param ms milliseconds after which it counts as closed: Cloudflare may stop a request without running its `finally`
 * @param now milliseconds since the epoch
 */
export function holdBody(
  most: number,
  {
    client,
    ms,
    kind = 'body',
    now = Date.now,
  }: { client: string; ms: number; kind?: Kind; now?: () => number },
): HeldBody {
  const limit = kind === 'upload' ? most * UPLOADS : most;
  const share: Share = { client, kind, bytes: -FREE_BYTES, expiresAt: now() + ms };
  return {
    add: (bytes) => {
      share.bytes += bytes;
      if (share.bytes <= 0) return;
      shares.add(share);
      const { own, all } = bytesOf(client, kind, now());
      if (own > share.bytes && own > limit / 2) {
        const detail =
          'This client has other large bodies under way: wait for their replies, and read them.';
        throw new ApiError('too-many-requests', detail, { retry_after: RETRY_AFTER_S });
      }
      if (all === share.bytes || all <= limit) return;
      const detail = 'Other large bodies are being read: try again, or send a smaller image.';
      throw new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
    },
    close: () => {
      shares.delete(share);
    },
  };
}

function bytesOf(client: string, kind: Kind, now: number): { own: number; all: number } {
  let [own, all] = [0, 0];
  for (const share of shares) {
    if (share.expiresAt < now) shares.delete(share);
    else if (share.kind === kind) {
      all += share.bytes;
      if (share.client === client) own += share.bytes;
    }
  }
  return { own, all };
}
