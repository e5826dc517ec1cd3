import { expect, test } from 'vitest';
import { repliedItem } from './results.ts';

test('the JSON of a long reply stands in its line as it would if it had been read', () => {
  const place = { part: 1, item: 2 };
  const body = { embeddings: [[0.1, -1e-7, 3]], text: 'é "\u2028' };
  const line = { custom_id: 'an "id"' };
  for (const more of [{}, { sha256: 'a'.repeat(64) }]) {
    const read = repliedItem(place, line, { status: 200, body }, more);
    expect(repliedItem(place, line, { status: 200, text: JSON.stringify(body) }, more)).toEqual(
      read,
    );
  }
});
