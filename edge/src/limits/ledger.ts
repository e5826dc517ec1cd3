/** What one caller has used, and whether it may have more: pure functions over data that a Durable Object stores. */
import {
  type Cost,
  type Limits,
  POLICIES,
  type Policy,
  type Refusal,
  type Standing,
  type Standings,
  type Use,
} from './limits.ts';
import { forget, refund, secondOf, use, used, type Window, waitFor } from './window.ts';

/** Work under way: what was taken for it, until it ends or nobody has said so for too long. */
type Lease = {
  id: string;
  /** Tokens that are counted in that second. */
  tokens: number;
  second: number;
  images: number;
  isStream: boolean;
  /** Milliseconds since the epoch. */
  expiresAt: number;
};

/** Days since the epoch, in UTC. */
export type DayUse = Use & { day: number; requests: number };

export type Ledger = {
  requests: Window;
  tokens: Window;
  /** Images of one day. */
  images: { day: number; count: number };
  leases: Lease[];
  /** Days with any use, the oldest first. */
  days: DayUse[];
  /** How many days are remembered. */
  retainDays: number;
};

export type Ask = Cost & { isStream: boolean; leaseMs: number };

const DAY_MS = 86_400_000;
/** More work of one caller than any GPU worker takes: what is stored stays small. */
const MAX_LEASES = 1024;
const MAX_LEASE_MS = 3_600_000;
/** When what others of the same caller hold may be free: they end at any time. */
const SOON_MS = 1000;

const TOO_MANY_LEASES: Refusal = {
  policy: 'streams',
  limit: MAX_LEASES,
  asked: 1,
  waitMs: SOON_MS,
  maySooner: true,
};

export const dayOf = (now: number): number => Math.floor(now / DAY_MS);

export function newLedger(now: number): Ledger {
  const images = { day: dayOf(now), count: 0 };
  return { requests: [], tokens: [], images, leases: [], days: [], retainDays: 1 };
}

/** Counts a request. @param tokens what it needs at least, for there to be any sense in it; nothing is taken for them */
export function admit(ledger: Ledger, limits: Limits, tokens: number, now: number): Refusal | null {
  tidy(ledger, now);
  const refusal =
    refusalOf(ledger, limits, 'requests', 1, now) ??
    refusalOf(ledger, limits, 'tokens', tokens, now);
  if (refusal !== null) return refusal;
  // Without a limit nothing has to be known of the last minute.
  if (limits.requests !== null) use(ledger.requests, 1, now);
  today(ledger, now).requests += 1;
  return null;
}

/** Counts a request that is as much as several by what remains of them. */
export function admitMore(
  ledger: Ledger,
  limits: Limits,
  requests: number,
  now: number,
): Refusal | null {
  tidy(ledger, now);
  const limit = limits.requests ?? Number.POSITIVE_INFINITY;
  const refusal = refusalOf(ledger, limits, 'requests', requests, now);
  // The one that was admitted would be counted again.
  if (refusal !== null) return requests < limit ? refusal : { ...refusal, waitMs: null };
  if (limits.requests !== null) use(ledger.requests, requests, now);
  today(ledger, now).requests += requests;
  return null;
}

/** Whether there is so much; nothing is taken. */
export function check(ledger: Ledger, limits: Limits, cost: Cost, now: number): Refusal | null {
  tidy(ledger, now);
  return foremost(
    refusalOf(ledger, limits, 'tokens', cost.tokens, now),
    refusalOf(ledger, limits, 'images', cost.images, now),
  );
}

/** What will never be there is said first: whoever waited for the rest would wait for nothing. */
function foremost(...refusals: (Refusal | null)[]): Refusal | null {
  const all = refusals.filter((refusal) => refusal !== null);
  return all.find(({ waitMs }) => waitMs === null) ?? all[0] ?? null;
}

/** Takes what work may need at most, all of it or nothing, until it is settled or its lease expires. */
export function charge(
  ledger: Ledger,
  limits: Limits,
  { tokens, images, isStream, leaseMs }: Ask,
  id: string,
  now: number,
): Refusal | null {
  const refusal = foremost(
    check(ledger, limits, { tokens, images }, now),
    refusalOf(ledger, limits, 'streams', isStream ? 1 : 0, now),
    // Even where streams have no limit.
    ledger.leases.length < MAX_LEASES ? null : TOO_MANY_LEASES,
  );
  if (refusal !== null) return refusal;
  if (limits.tokens !== null) use(ledger.tokens, tokens, now);
  ledger.images.count += images;
  const expiresAt = now + Math.min(leaseMs, MAX_LEASE_MS);
  ledger.leases.push({ id, tokens, second: secondOf(now), images, isStream, expiresAt });
  return null;
}

/** Ends a lease: what was not needed of it is there again. Without a lease the use is written down alone. */
export function settle(ledger: Ledger, id: string | null, actual: Use, now: number): void {
  tidy(ledger, now);
  const index = ledger.leases.findIndex((lease) => lease.id === id);
  const [lease] = index === -1 ? [] : ledger.leases.splice(index, 1);
  if (lease !== undefined) {
    const tokens = actual.prompt_tokens + actual.completion_tokens;
    refund(ledger.tokens, Math.max(0, lease.tokens - tokens), lease.second);
    // One of yesterday was taken from yesterday's.
    const isOfToday = dayOf(lease.second * 1000) === ledger.images.day;
    if (isOfToday) ledger.images.count -= Math.max(0, lease.images - actual.images);
  } else if (id === null) {
    // Nothing was held: there are no limits that this would count in, but the images of the day.
    ledger.images.count += actual.images;
  }
  add(today(ledger, now), actual);
}

/** Where the caller stands, for each policy that has a limit. */
export function standingsOf(ledger: Ledger, limits: Limits, now: number): Standings {
  tidy(ledger, now);
  const standings: Standings = {};
  for (const policy of POLICIES) {
    const limit = limits[policy];
    if (limit !== null) standings[policy] = standingOf(ledger, policy, limit, now);
  }
  return standings;
}

/** Whether nothing has to be remembered. */
export function isEmpty(ledger: Ledger, now: number): boolean {
  tidy(ledger, now);
  const { requests, tokens, leases, days } = ledger;
  return [requests, tokens, leases, days].every(({ length }) => length === 0);
}

/** Milliseconds until the next day begins. */
export function untilTomorrow(now: number): number {
  return (dayOf(now) + 1) * DAY_MS - now;
}

function standingOf(ledger: Ledger, policy: Policy, limit: number, now: number): Standing {
  const count = countOf(ledger, policy);
  const remaining = Math.max(0, limit - count);
  if (count === 0 || policy === 'streams') return { limit, remaining, moreMs: 0, allMs: 0 };
  if (policy === 'images') {
    const allMs = untilTomorrow(now);
    return { limit, remaining, moreMs: allMs, allMs };
  }
  const window = ledger[policy];
  const more = waitFor(window, 1, now) ?? 0;
  return { limit, remaining, moreMs: more, allMs: waitFor(window, count, now) ?? more };
}

function countOf(ledger: Ledger, policy: Policy): number {
  switch (policy) {
    case 'images':
      return ledger.images.count;
    case 'streams':
      return ledger.leases.filter(({ isStream }) => isStream).length;
    default:
      return used(ledger[policy]);
  }
}

function refusalOf(
  ledger: Ledger,
  limits: Limits,
  policy: Policy,
  asked: number,
  now: number,
): Refusal | null {
  const limit = limits[policy];
  if (limit === null || asked === 0) return null;
  const excess = countOf(ledger, policy) + asked - limit;
  if (excess <= 0) return null;
  if (asked > limit) return { policy, limit, asked, waitMs: null, maySooner: false };
  const waitMs = waitOf(ledger, policy, excess, now);
  return { policy, limit, asked, waitMs, maySooner: heldOf(ledger, policy) > 0 };
}

/** What work under way has taken, of which some may be there again when it ends. */
function heldOf({ leases }: Ledger, policy: Policy): number {
  switch (policy) {
    case 'requests':
      return 0;
    case 'streams':
      return leases.length;
    default:
      return leases.reduce((sum, lease) => sum + lease[policy], 0);
  }
}

/** How long until so much more is there: what work under way holds may be free soon. */
function waitOf(ledger: Ledger, policy: Policy, excess: number, now: number): number {
  if (policy === 'streams') return SOON_MS;
  const wait =
    policy === 'images' ? untilTomorrow(now) : (waitFor(ledger[policy], excess, now) ?? SOON_MS);
  return heldOf(ledger, policy) >= excess ? Math.min(wait, SOON_MS) : wait;
}

/** Lets go of what time has ended. */
function tidy(ledger: Ledger, now: number): void {
  const day = dayOf(now);
  forget(ledger.requests, now);
  forget(ledger.tokens, now);
  // Where the clock was set back, nothing is new: neither a day nor a lease.
  if (day > ledger.images.day) ledger.images.count = 0;
  ledger.images.day = day;
  for (const lease of ledger.leases) {
    lease.second = Math.min(lease.second, secondOf(now));
    lease.expiresAt = Math.min(lease.expiresAt, now + MAX_LEASE_MS);
  }
  ledger.leases = ledger.leases.filter(({ expiresAt }) => expiresAt > now);
  // A day that has not begun is today, whatever the clock said of it.
  const ahead = ledger.days.filter((entry) => entry.day > day);
  ledger.days = ledger.days.filter(
    (entry) => entry.day <= day && entry.day > day - ledger.retainDays,
  );
  for (const entry of ahead) add(today(ledger, now), entry);
}

function add(day: DayUse, more: Use & { requests?: number }): void {
  day.requests += more.requests ?? 0;
  day.prompt_tokens += more.prompt_tokens;
  day.completion_tokens += more.completion_tokens;
  day.images += more.images;
}

function today(ledger: Ledger, now: number): DayUse {
  const day = dayOf(now);
  const known = ledger.days.find((entry) => entry.day === day);
  if (known !== undefined) return known;
  const entry = { day, requests: 0, prompt_tokens: 0, completion_tokens: 0, images: 0 };
  ledger.days.push(entry);
  return entry;
}
