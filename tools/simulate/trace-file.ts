/** The actions of an engine as its trace has them (`BLIP2_TRACE`). */
import { readFile } from 'node:fs/promises';
import * as z from 'zod/mini';

const EngineAction = z.object({
  ph: z.literal('X'),
  name: z.enum(['images', 'prefill', 'prefill-chunk', 'step']),
  /** Microseconds since the epoch, and microseconds. */
  ts: z.number(),
  dur: z.number(),
  args: z.object({ rows: z.int() }),
});

/** `at`: milliseconds since the epoch; `ms`: until the engine could begin the next. */
export type TracedAction = {
  name: z.infer<typeof EngineAction>['name'];
  at: number;
  ms: number;
  rows: number;
};

/** An engine that has more to do begins it within this time, ms. */
const GAP_MS = 1;

/** All that is written by now; the last line may be written in part. */
export async function readTrace(path: string): Promise<TracedAction[]> {
  return actionsOf(await readFile(path, 'utf8'));
}

/** @param text in Perfetto's JSON array format, an event a line */
export function actionsOf(text: string): TracedAction[] {
  const actions = text.split('\n').flatMap((line) => {
    if (!line.endsWith('},')) return [];
    const event = EngineAction.safeParse(JSON.parse(line.slice(0, -1)));
    if (!event.success) return [];
    const { name, ts, dur, args } = event.data;
    return [{ name, at: ts / 1000, ms: dur / 1000, rows: args.rows }];
  });
  return actions.map((action, i) => {
    const next = actions[i + 1]?.at ?? Number.POSITIVE_INFINITY;
    const gap = next - action.at - action.ms;
    return gap > 0 && gap < GAP_MS ? { ...action, ms: action.ms + gap } : action;
  });
}
