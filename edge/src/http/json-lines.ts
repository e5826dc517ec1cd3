/** Lines of a stream of text, as they come. */
import { Buffer } from 'node:buffer';
import { ApiError } from '@blip2/shared/errors';
import { Pauses, type Slices } from '../pauses.ts';

/** Its number counts from 1, those that are empty too. */
export type Line = { text: string; number: number };

const LF = 0x0a;
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
/** What a line takes beside its bytes, a blank one too, in bytes that are read. */
const LINE_WORK = 64;
/** Lines at a time: a piece may have tens of thousands. */
const MAX_LINES = 512;

/** @property maxLines blank ones too: what is beyond ends the stream @property slices where others are let in */
export type LineLimits = { maxLines?: number; slices?: Slices };

/**
 * The lines of each piece that comes, some hundreds together, without those that are blank; of some pieces none.
 * @param maxBytes of one line: a longer one ends the stream
 * @throws ApiError `invalid-request` that names the line: it is too long, not UTF-8, or one too many
 * @example for await (const lines of linesOf(stream, 1000)) for (const { text } of lines) JSON.parse(text);
 */
export async function* linesOf(
  stream: AsyncIterable<Uint8Array>,
  maxBytes: number,
  { maxLines = Number.POSITIVE_INFINITY, slices = new Pauses() }: LineLimits = {},
): AsyncGenerator<Line[], void, undefined> {
  let number = 1;
  let pieces: Uint8Array[] = [];
  let held = 0;
  const drop = () => {
    pieces = [];
    held = 0;
  };
  const hold = (piece: Uint8Array) => {
    // A view of nothing keeps all of its chunk.
    if (piece.length === 0) return;
    held += piece.length;
    if (held > maxBytes) throw tooLong(number, maxBytes);
    pieces.push(piece);
  };
  /** @returns null for one that is blank, which is not decoded */
  const line = (): Line | null => {
    const parts = pieces;
    drop();
    const at = number++;
    if (parts.every(isBlank)) return null;
    // Most lines are whole in what has come.
    const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    const text = decoded(bytes, at);
    return text.trim() === '' ? null : { text, number: at };
  };
  for await (const chunk of stream) {
    let lines: Line[] = [];
    let [from, paused, seen] = [0, 0, 0];
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, from)) {
      if (number > maxLines) {
        // What is wrong with those before it is said first.
        yield lines;
        throw tooManyLines(number, maxLines);
      }
      hold(chunk.subarray(from, end));
      const read = line();
      if (read !== null) lines.push(read);
      from = end + 1;
      if (++seen < MAX_LINES) continue;
      await slices.after(from - paused + LINE_WORK * seen);
      yield lines;
      lines = [];
      seen = 0;
      paused = from;
    }
    hold(chunk.subarray(from));
    await slices.after(chunk.length - paused + LINE_WORK * seen);
    yield lines;
  }
  const last = line();
  if (last === null) return;
  if (last.number > maxLines) throw tooManyLines(last.number, maxLines);
  yield [last];
}

/** Whether all of it is white space of ASCII. */
function isBlank(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0x20 && (byte < 0x09 || byte > 0x0d)) return false;
  return true;
}

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

function tooManyLines(number: number, limit: number): ApiError {
  const detail = `A job's input has ${limit} lines at most, blank ones too: leave those out.`;
  return new ApiError('invalid-request', detail, { field: `line ${number}`, limit });
}
