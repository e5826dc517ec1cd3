/**
 * Reads what a refused request still sends, and forgets it: where nobody reads, the platform ends the connection, and most clients
 * then report that instead of the reply, or send all of it again.
 */

import { isUnnamed } from '../turns/unnamed.ts';
import { bodyReader } from './body-reader.ts';

/** Who sends more than this is cut off: it is not worth its transfer. */
const MOST_BYTES = 128 * 2 ** 20;
const MOST_MS = 10_000;
/**
 * Who sends less in so long learns at once what is wrong: such a client reads while it sends, or has left the rest to its system. Those that send all
 * of a body before they read anything fill a connection.
 */
const LOOK_MS = 1000;
const LEAST_BYTES = 2 ** 18;
/** Bodies that are read so at a time, half of them of one client: of more, the rest is left at once. */
const MOST_AT_A_TIME = 1024;
/** Until when each counts, milliseconds since the epoch: a request may be stopped without its `finally`. */
const drained = new Set<{ client: string; until: number }>();

/** Whether there is a body that nobody has begun to read, of a length that is worth reading. */
export function isLeftUnread({ body, bodyUsed, headers }: Request): boolean {
  const declared = Number(headers.get('content-length') ?? 0);
  return body !== null && !bodyUsed && !body.locked && declared <= MOST_BYTES;
}

/**
 * Never rejects.
 * @param ms after which the rest is left
 * @param client who sends it
 */
export async function drainBody(
  { body }: Pick<Request, 'body'>,
  ms: number,
  client: string,
): Promise<void> {
  if (body === null || !hasRoom(client)) return;
  const place = { client, until: Date.now() + Math.min(ms, MOST_MS) };
  drained.add(place);
  const reader = bodyReader(body);
  const leave = () => void reader.cancel().catch(() => {});
  const deadline = setTimeout(leave, Math.min(ms, MOST_MS));
  let [total, expected] = [0, LEAST_BYTES];
  const look = () => {
    if (total < expected) return leave();
    expected = total + LEAST_BYTES;
    watch = setTimeout(look, LOOK_MS);
  };
  let watch = setTimeout(look, LOOK_MS);
  try {
    for (let piece = await reader.read(); piece !== null; piece = await reader.read()) {
      total += piece.length;
      if (total > MOST_BYTES) await reader.cancel();
    }
  } catch {
    // Whoever sent it has gone.
  } finally {
    clearTimeout(deadline);
    clearTimeout(watch);
    drained.delete(place);
  }
}

function hasRoom(client: string): boolean {
  const now = Date.now();
  let own = 0;
  for (const other of drained) {
    if (other.until < now) drained.delete(other);
    else if (other.client === client) own++;
  }
  const isOver = !isUnnamed(client) && own >= MOST_AT_A_TIME / 2;
  return drained.size < MOST_AT_A_TIME && !isOver;
}
