/** `GET /v1/usage`. */
import * as z from 'zod/mini';
import { described, describedMembers } from './described.ts';

export const LimitStanding = z.object({
  limit: z.int(),
  remaining: z.int(),
  reset_after: z.int(),
});
export type LimitStanding = z.infer<typeof LimitStanding>;

const standing = z.nullable(LimitStanding);

export const UsageLimits = z.object({
  requests_per_minute: standing,
  tokens_per_minute: standing,
  images_per_day: standing,
  open_streams: standing,
});
export type UsageLimits = z.infer<typeof UsageLimits>;

export const UsageDay = z.object({
  date: z.string(),
  requests: z.int(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  images: z.int(),
});
export type UsageDay = z.infer<typeof UsageDay>;

export const UsageReply = z.object({
  caller: z.enum(['key', 'address']),
  name: z.optional(z.string()),
  limits: UsageLimits,
  days: z.array(UsageDay),
});
export type UsageReply = z.infer<typeof UsageReply>;

described(LimitStanding, 'A limit and what is left of it.');
describedMembers(LimitStanding.shape, {
  limit: ['What is allowed.', 60],
  remaining: ['What is left of it now.', 59],
  reset_after: ['Seconds after which all of it is there again; 0 where it is, or for streams.', 60],
});
described(UsageLimits, 'The limits of the caller; null where there is none.');
const example = { limit: 60, remaining: 59, reset_after: 60 };
describedMembers(UsageLimits.shape, {
  requests_per_minute: ['Requests in any 60 seconds.', example],
  tokens_per_minute: ['Tokens of prompts and of what is generated, in any 60 seconds.', null],
  images_per_day: ['Images that are encoded, until midnight in UTC.', null],
  open_streams: ['Streams at a time.', { limit: 4, remaining: 4, reset_after: 0 }],
});
described(UsageDay, 'What was used on one day (UTC).');
describedMembers(UsageDay.shape, {
  date: ['The day.', '2026-11-27'],
  requests: ['Requests that were let in, whatever became of them.', 12],
  prompt_tokens: ['Tokens that the model read, image positions included.', 480],
  completion_tokens: ['Tokens that it generated.', 96],
  images: ['Images that were encoded: those whose embeddings were cached are none.', 3],
});
described(UsageReply, 'What the caller may use, and has used.');
describedMembers(UsageReply.shape, {
  caller: ['Whether the caller is known by a key or by the address.', 'key'],
  name: ['The name that the operator gave the key.', 'alice'],
  limits: 'The limits in force, with what is left.',
  days: 'The last 31 days of a key with any use, the latest first; of an address today alone. Empty where nothing is counted.',
});
