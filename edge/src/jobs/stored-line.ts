/**
 * A line of results, as it is stored, read without parsing it: what a client gets of it is most of it as it is. Lines of embeddings
 * have half a megabyte, and to parse and write one again takes an isolate twenty times as long as to copy it.
 */
import type { ResultLine, ResultQuery } from './contract.ts';
import { MAX_ID } from './read-line.ts';

/** The beginning that `JSON.stringify` gives a `ResultLine`. */
const HEAD =
  /^\{"part":(\d+),"item":(\d+),"custom_id":("(?:[^"\\]|\\.)*"),"outcome":"([a-z]+)","status":(\d+|null),"body":/;
/** As long as it may be: a character of an id is six where it is escaped. */
const HEAD_CHARACTERS = 6 * MAX_ID + 1024;
/** Enough bytes to say whether a line is wanted: a character of an id has three bytes at most, or is escaped. */
export const HEAD_BYTES = HEAD_CHARACTERS;
/** Its end, where there is a reply. */
const TAIL = /,"error":null(?:,"sha256":"[0-9a-f]{64}")?\}$/;
const TAIL_CHARACTERS = 96;

/** Of an item with a reply as it should be: `id`, `status` and `body` are JSON. */
export type CompletedLine = {
  part: string;
  item: string;
  id: string;
  status: string;
  body: string;
};

/** @returns null where it was not completed, or is written in another way: then it is to be parsed */
export function completedLine(text: string): CompletedLine | null {
  const head = HEAD.exec(text.slice(0, HEAD_CHARACTERS));
  const tail = TAIL.exec(text.slice(-TAIL_CHARACTERS));
  if (head === null || tail === null) return null;
  const [{ length }, part = '', item = '', id = '', outcome, status = ''] = head;
  const end = text.length - tail[0].length;
  if (outcome !== 'completed' || end <= length) return null;
  return { part, item, id, status, body: text.slice(length, end) };
}

export function parsedLine(text: string): ResultLine {
  return JSON.parse(text);
}

/** Whether a line is one of those that are asked for. */
export function isWanted(text: string, which: ResultQuery['which']): boolean {
  if (which === 'all') return true;
  const outcome = HEAD.exec(text.slice(0, HEAD_CHARACTERS))?.[4] ?? parsedLine(text).outcome;
  return (outcome === 'completed') === (which === 'completed');
}
