/** The events of a prediction as its clients read them: parts of the text under their numbers, and the end. */
import type { StoredPrediction } from './contract.ts';

/**
 * @param parts of the text, from the one on that has the number `from`
 * @param prediction as it is when the parts have ended
 * @example
 * // [' a', ' dog'] from 0:
 * // id: 1 ⏎ event: output ⏎ data:  a ⏎ ⏎ id: 2 ⏎ event: output ⏎ data:  dog ⏎ ⏎ id: 3 ⏎ event: done ⏎ data: {} ⏎ ⏎
 */
export async function* eventsOf(
  parts: AsyncIterable<string> | Iterable<string>,
  from: number,
  prediction: () => Pick<StoredPrediction, 'status' | 'error'>,
): AsyncGenerator<string, void, undefined> {
  // The headers go out at once, however long the first part takes.
  yield ': ok\n\n';
  let id = from;
  for await (const part of parts) yield encodeEvent('output', ++id, part);
  const { status, error } = prediction();
  if (status === 'failed') yield encodeEvent('error', ++id, error ?? '');
  const reason = { failed: 'error', canceled: 'canceled' }[status as string];
  yield encodeEvent('done', ++id, JSON.stringify({ ...(reason && { reason }) }));
}

/** Line breaks make several lines of data, which clients join again. */
function encodeEvent(event: string, id: number, data: string): string {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `id: ${id}\nevent: ${event}\n${lines.join('')}\n`;
}
