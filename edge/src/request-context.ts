/** The context of one request, the same for every route: passed down to all that is done for it. */

import type { ImagePath } from '@blip2/shared/cache-key';
import type { TraceContext } from '@blip2/shared/traceparent';
import type { Account } from './limits/account.ts';
import type { WorkPlace } from './work-in-hand.ts';

/** What a request leaves to the cache of replies. */
export type CacheUse = {
  /** Seconds that a cached reply may be old; 0 reads none. */
  maxAge: number;
  /** Whether its own reply may be cached. */
  mayStore: boolean;
};

export const EVERY_USE: CacheUse = { maxAge: Number.POSITIVE_INFINITY, mayStore: true };

export type OnImage = (image: ImagePath, sentAt: number) => void;

export type RequestContext = {
  requestId: string;
  /** The trace that the caller has begun, where it says so. */
  trace?: TraceContext;
  /** The client, by its key, or by its address where somebody trusted reports it: waiting requests are served client by client. */
  client?: string;
  /** Continent that it comes from, as Cloudflare calls it, where it does. */
  zone?: string;
  /** What the request takes from the limits of its caller; none where nothing is counted. */
  account?: Account;
  /** Opaque name of the caller's cache namespace; '' is the one that all callers without one share. */
  namespace: string;
  /** What its `Cache-Control` says; without it, every use. */
  cacheUse?: CacheUse;
  /**
   * When the request came, milliseconds since the epoch, however often its work is tried again: what it brings was sent
   * then, as far as deletions are concerned.
   */
  startedAt: number;
  /** Left where the request waits for somebody else. */
  work?: WorkPlace;
  /** Gets each image that the request reads, and since when it may be known, milliseconds since the epoch: who stores the reply needs it. */
  onImage?: OnImage;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Milliseconds since the epoch at which the request is given up. */
  deadlineAt: number;
  /** Lets work continue after the response. */
  waitUntil: (work: Promise<unknown>) => void;
};
