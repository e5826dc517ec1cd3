/** Lines of a stream of text, as they come. */
import { Buffer } from 'node:buffer';
import { ApiError } from '@blip2/shared/errors';
import { Pauses } from '../pauses.ts';

/** Its number counts from 1, those that are empty too. */
export type Line = { text: string; number: number };

const LF = 0x0a;
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
/** What a line takes beside its bytes, in bytes that are read. */
const LINE_WORK = 64;
/** Lines at a time: a piece may have tens of thousands. */
const MAX_LINES = 512;

/**
 * The lines of each piece that comes, some hundreds together, without those that are empty; of some pieces none.
 * @param maxBytes of one line: a longer one ends the stream
 * @throws ApiError `invalid-request` that names the line: it is too long, or not UTF-8
 * @example for await (const lines of linesOf(stream, 1000)) for (const { text } of lines) JSON.parse(text);
 */
export async function* linesOf(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Line[], void, undefined> {
  let number = 1;
  let pieces: Uint8Array[] = [];
  let held = 0;
  const hold = (piece: Uint8Array) => {
    // A view of nothing keeps all of its chunk.
    if (piece.length === 0) return;
    held += piece.length;
    if (held > maxBytes) throw tooLong(number, maxBytes);
    pieces.push(piece);
  };
  const line = (): Line => {
    // Most lines are whole in what has come.
    const bytes = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
    pieces = [];
    held = 0;
    return { text: decoded(bytes, number), number: number++ };
  };
  const pauses = new Pauses();
  for await (const chunk of stream) {
    let lines: Line[] = [];
    let [from, paused] = [0, 0];
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, from)) {
      if (end === from && held === 0) number++;
      else {
        hold(chunk.subarray(from, end));
        lines.push(line());
      }
      from = end + 1;
      if (lines.length < MAX_LINES) continue;
      await pauses.after(from - paused + LINE_WORK * lines.length);
      yield lines.filter(isFull);
      lines = [];
      paused = from;
    }
    hold(chunk.subarray(from));
    await pauses.after(chunk.length - paused + LINE_WORK * lines.length);
    yield lines.filter(isFull);
  }
  const last = line();
  if (isFull(last)) yield [last];
}

const isFull = ({ text }: Line): boolean => text.trim() !== '';

function decoded(bytes: Uint8Array, number: number): string {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    const detail = `Line ${number} is not UTF-8.`;
    throw new ApiError('invalid-request', detail, { field: `line ${number}`, cause });
  }
}

function tooLong(number: number, limit: number): ApiError {
  const detail = `Line ${number} has more than ${limit} bytes.`;
  return new ApiError('invalid-request', detail, { field: `line ${number}`, limit });
}
