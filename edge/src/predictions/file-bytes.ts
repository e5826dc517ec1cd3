/** The bytes of files that are stored, piece by piece: a whole one that nobody reads would be in memory, and reading it at once would keep everybody out. */
import { sharedTurns } from '../turns/shared-turns.ts';
import type { StoredFile } from './contract.ts';
import type { FileTable } from './file-table.ts';

/** Read in one turn, about 3 milliseconds. */
const TURN_BYTES = 2 ** 20;

type Pieces = Pick<FileTable, 'piece'>;
type Named = Pick<StoredFile, 'id' | 'size'>;

/** Read as they are taken; they end where the file is deleted meanwhile. */
export async function* piecesOf(
  files: Pieces,
  { id, size }: Named,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let at = 0;
  for (let number = 0; at < size; number++) {
    const piece = files.piece(id, number);
    if (piece === null) return;
    yield piece;
    at += piece.length;
  }
}

/**
 * All of them, by turns of the objects of this isolate.
 * @param owner whose turns they are
 * @param signal aborted when nobody needs them any more
 * @returns null where the file is deleted meanwhile
 * @throws the signal's reason
 */
export async function wholeOf(
  files: Pieces,
  { id, size }: Named,
  owner: string,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | null> {
  // None before the first turn: who waits for it has nothing in memory.
  let bytes: Uint8Array<ArrayBuffer> | null = null;
  let at = 0;
  for (let number = 0; at < size; ) {
    const turn = await sharedTurns.take(owner);
    if (signal?.aborted) await turn.end(0);
    signal?.throwIfAborted();
    bytes ??= new Uint8Array(size);
    const begin = at;
    for (; at < size && at - begin < TURN_BYTES; number++) {
      const piece = files.piece(id, number);
      if (piece === null) break;
      bytes.set(piece, at);
      at += piece.length;
    }
    await turn.end(at - begin);
    if (at === begin) return null;
  }
  return bytes;
}
