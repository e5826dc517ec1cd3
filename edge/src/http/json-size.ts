/** How much there is in JSON text, before anything is built of it: the same walk as that which checks it, without what that makes. */
import type { Steps } from '../pauses.ts';
import { closingQuote, MAX_BYTES, MAX_TEXT_BYTES, MAX_VALUES } from './json-structure.ts';
import { STEP_BYTES, WALKED } from './walked-bytes.ts';

export type JsonSize = {
  /** Values in lists and objects; of what is no JSON, about as many as are looked at. */
  values: number;
  /** Strings before a colon. */
  names: number;
  /** Besides strings that are too long for a text. */
  bytes: number;
};

const [QUOTE, COMMA, COLON, OPEN_LIST, OPEN_OBJECT] = [0x22, 0x2c, 0x3a, 0x5b, 0x7b];

/**
 * Nobody counts beyond what is refused.
 * @param bytes UTF-8
 * @example atOnce(jsonSize(encode('{"a":[1,2]}'))) // { values: 3, names: 1, bytes: 11 }
 */
export function* jsonSize(bytes: Uint8Array): Steps<JsonSize> {
  const most = MAX_VALUES;
  let [values, names, long] = [0, 0, 0];
  let end = Math.min(bytes.length, MAX_BYTES + 1);
  let isAfterString = false;
  // A comma that follows another ends no value, and the text is no JSON.
  let lastComma = -1;
  let at = 0;
  let until = STEP_BYTES;
  for (; at < end && values <= most && names <= most; at++) {
    if (at >= until) {
      yield WALKED;
      until = at + STEP_BYTES;
    }
    switch (bytes[at]) {
      case QUOTE: {
        let closing = closingQuote(bytes, at, until);
        while (closing < 0) {
          yield WALKED;
          until = STEP_BYTES - closing;
          closing = closingQuote(bytes, -closing - 1, until);
        }
        const length = closing - at - 1;
        if (length > MAX_TEXT_BYTES) {
          long += length;
          end = Math.min(bytes.length, MAX_BYTES + 1 + long);
        }
        isAfterString = true;
        at = closing;
        break;
      }
      case COMMA:
        if (lastComma !== at - 1) values++;
        lastComma = at;
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        values++;
        break;
      case COLON:
        if (isAfterString) names++;
        isAfterString = false;
        break;
    }
  }
  return { values, names, bytes: Math.min(at, bytes.length) - long };
}
