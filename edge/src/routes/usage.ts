/** `GET /v1/usage`: what the caller may use, and has used. It is not counted itself: who is out of requests can see it. */
import type { UsageLimits, UsageReply } from '@blip2/shared/schemas/usage';
import type { Policy, Standings } from '../limits/limits.ts';
import { type Handler, senderOf } from './app-context.ts';

const DAY_MS = 86_400_000;

export const usage: Handler = async (c, { limiter, config }) => {
  const sender = senderOf(c, config);
  const { caller } = sender;
  const { standings, days } = await limiter.usage(sender);
  const reply: UsageReply = {
    ...(caller === null ? { caller: 'address' } : { caller: 'key', name: caller.record.name }),
    limits: limitsOf(standings),
    days: days.map(({ day, ...use }) => ({
      date: new Date(day * DAY_MS).toISOString().slice(0, 10),
      ...use,
    })),
  };
  return c.json(reply, 200, { 'cache-control': 'no-store' });
};

function limitsOf(standings: Standings): UsageLimits {
  const of = (policy: Policy) => {
    const standing = standings[policy];
    if (standing === undefined) return null;
    const { limit, remaining, allMs } = standing;
    return { limit, remaining, reset_after: Math.ceil(allMs / 1000) };
  };
  return {
    requests_per_minute: of('requests'),
    tokens_per_minute: of('tokens'),
    images_per_day: of('images'),
    open_streams: of('streams'),
  };
}
