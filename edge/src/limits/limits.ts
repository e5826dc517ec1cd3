/** The limits of callers: what is limited, and what is in force for one of them. */
import type { Config } from '../config.ts';
import type { Caller } from '../keys/authenticate.ts';

/** What is limited, in the order in which replies name it. */
export const POLICIES = ['requests', 'tokens', 'images', 'streams'] as const;
export type Policy = (typeof POLICIES)[number];

/** Requests and tokens a minute, images a day, streams at a time; null is no limit. */
export type Limits = Readonly<Record<Policy, number | null>>;

/** What was used; `images` are those that were encoded. */
export type Use = { prompt_tokens: number; completion_tokens: number; images: number };

/** What a piece of work may need at most. */
export type Cost = { tokens: number; images: number };

/** Where a caller stands with one policy. */
export type Standing = {
  limit: number;
  remaining: number;
  /** Milliseconds until more is there; 0 where all is, or where nobody knows. */
  moreMs: number;
  /** Milliseconds until all is there. */
  allMs: number;
};
export type Standings = Partial<Record<Policy, Standing>>;

/** Why a caller has to wait. */
export type Refusal = {
  policy: Policy;
  limit: number;
  /** What was asked for. */
  asked: number;
  /** Milliseconds after which it may be there; null where that will never be. */
  waitMs: number | null;
  /** Whether it may be there sooner, when other work of the same caller ends. */
  maySooner: boolean;
};

/** @param caller null for whoever has no key, and is known by the address */
export function limitsOf(caller: Caller | null, config: Config): Limits {
  if (caller === null) {
    return {
      requests: config.anonymousRequestsPerMinute,
      tokens: config.anonymousTokensPerMinute,
      images: config.anonymousImagesPerDay,
      streams: config.anonymousOpenStreams,
    };
  }
  const {
    requests_per_minute = config.requestsPerMinute,
    tokens_per_minute = config.tokensPerMinute,
    images_per_day = config.imagesPerDay,
    open_streams = config.openStreams,
  } = caller.record.limits ?? {};
  return {
    requests: requests_per_minute,
    tokens: tokens_per_minute,
    images: images_per_day,
    streams: open_streams,
  };
}

export function isLimited(limits: Limits): boolean {
  return POLICIES.some((policy) => limits[policy] !== null);
}
