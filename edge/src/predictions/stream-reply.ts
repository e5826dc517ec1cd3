/** Streams a prediction to one reader, from a place that is free again when they have all of it, or have left. */
import { HEARTBEAT_MS, sseResponse } from '../http/sse.ts';
import type { Place } from '../turns/places.ts';
import type { Stored } from './prediction-table.ts';
import { Run } from './run.ts';
import { eventsOf } from './stream-events.ts';

/** @param after number of the event that the reader has already; 0 for none */
export async function streamReply(
  found: Run | Stored,
  after: number,
  place: Place,
): Promise<Response> {
  const left = new AbortController();
  const parts = found instanceof Run ? found.read(after, left.signal) : found.deltas.slice(after);
  const from = Math.min(after, found.deltas.length);
  const events = eventsOf(parts, from, () => found.prediction);
  return await sseResponse(leaving(events, place), {
    format: (text) => text,
    formatError: () => '',
    heartbeatMs: HEARTBEAT_MS,
    onCancel: () => {
      left.abort();
      place.leave();
    },
  });
}

async function* leaving<T>(events: AsyncIterable<T>, place: Place): AsyncGenerator<T> {
  try {
    yield* events;
  } finally {
    place.leave();
  }
}
