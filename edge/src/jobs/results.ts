/** What a result is: a line of JSON, of an item that has a reply, or of one that has none. */
import type { BatchLine, JobUsage, ResultLine } from './contract.ts';
import type { EndedItem, Outcome } from './part-table.ts';
import type { ItemReply } from './rehearsal.ts';

type Place = { part: number; item: number };
type About = { sha256?: string | undefined; used?: JobUsage | null };

/** SQLite's rows have 2 MB at most. */
export const MAX_RESULT_CHARACTERS = 600_000;
const TOO_LARGE = {
  code: 'result_too_large',
  message: 'The reply is too large to be a result: ask for less of it.',
};

/**
 * The result of an item that has a reply: one that is too large for a row is a failure.
 * @param sha256 of the image that was read
 * @param used where the reply does not say it
 */
export function repliedItem(
  place: Place,
  line: Pick<BatchLine, 'custom_id'>,
  reply: ItemReply,
  about: About = {},
): EndedItem {
  const ended = anyRepliedItem(place, line, reply, about);
  if (ended.line.length <= MAX_RESULT_CHARACTERS) return ended;
  return unrepliedItem(place, line, 'failed', TOO_LARGE);
}

function anyRepliedItem(
  { part, item }: Place,
  { custom_id }: Pick<BatchLine, 'custom_id'>,
  reply: ItemReply,
  { sha256, used = null }: About,
): EndedItem {
  const { status } = reply;
  const outcome = status < 400 ? 'completed' : 'failed';
  const before = { part, item, custom_id, outcome, status } as const;
  const after = { error: null, ...(sha256 !== undefined && { sha256 }) };
  const usedUnsaid = outcome === 'completed' ? used : null;
  if ('text' in reply) {
    // The same line: the app writes JSON as it is written here.
    const [start, end] = [JSON.stringify(before), JSON.stringify(after)];
    const line = `${start.slice(0, -1)},"body":${reply.text},${end.slice(1)}`;
    return { item, outcome, line, usage: usedUnsaid };
  }
  const { body } = reply;
  return endedItem({ ...before, body, ...after }, usageOf(body) ?? usedUnsaid);
}

/** The result of an item that has no reply. */
export function unrepliedItem(
  { part, item }: Place,
  { custom_id }: Pick<BatchLine, 'custom_id'>,
  outcome: Exclude<Outcome, 'completed'>,
  error: { code: string; message: string },
): EndedItem {
  return endedItem({ part, item, custom_id, outcome, status: null, body: null, error }, null);
}

function endedItem(result: ResultLine, usage: JobUsage | null): EndedItem {
  return { item: result.item, outcome: result.outcome, line: JSON.stringify(result), usage };
}

/** Tokens of a reply, as our routes and those of OpenAI's call them. */
function usageOf(body: unknown): JobUsage | null {
  if (typeof body !== 'object' || body === null || !('usage' in body)) return null;
  const { usage } = body;
  if (typeof usage !== 'object' || usage === null) return null;
  const counts = usage as Record<string, unknown>;
  const count = (value: unknown) => (typeof value === 'number' ? value : 0);
  return {
    prompt_tokens: count(counts.prompt_tokens ?? counts.input_tokens),
    completion_tokens: count(counts.completion_tokens ?? counts.output_tokens),
  };
}

/** Why an item that was never run has ended. */
export const NEVER_RUN = {
  canceled: { code: 'batch_cancelled', message: 'The job was canceled before this item was run.' },
  expired: { code: 'batch_expired', message: 'This item could not be run before the job expired.' },
} as const;

/** Whether the same may have another reply in a while. */
export function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}
