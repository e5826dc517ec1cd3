/** Text of a service on a terminal: what it has of control characters could move the cursor, or fill the clipboard. */

import { StringDecoder } from 'node:string_decoder';

/** All of C0 and C1, but for the ends of lines and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

type Terminal = { isTTY?: boolean };

/** Of bytes that come in pieces: a character may begin in one and end in the next. */
const decoders = new WeakMap<Terminal, StringDecoder>();

/**
 * The same text, where it is not written to a terminal.
 * @example visible('a\u001b[2Kb', process.stdout) // 'a[2Kb'
 */
export function visible<Text extends string | Uint8Array>(
  text: Text,
  stream: Terminal,
): Text | string {
  if (stream.isTTY !== true) return text;
  if (typeof text === 'string') return text.replaceAll(CONTROLS, '');
  const decoder = decoders.get(stream) ?? new StringDecoder('utf8');
  decoders.set(stream, decoder);
  return decoder.write(text).replaceAll(CONTROLS, '');
}
