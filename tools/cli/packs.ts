/** Lines in files of a size that the service takes: written as they come, so that what lies in memory is one line. */
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { temporaryFolder } from './temporary-folder.ts';

/** Whole lines in a file, which is deleted when the next is asked for. */
export type Pack = { path: string; lines: number; bytes: number };

/** No pack has more of either; a longer line is a pack of its own. */
export type PackLimits = { maxLines: number; maxBytes: number };

export async function* packsOf(
  lines: AsyncGenerator<string, void, undefined>,
  { maxLines, maxBytes }: PackLimits,
): AsyncGenerator<Pack, void, undefined> {
  using folder = await temporaryFolder();
  await using pending = lines;
  let next = await pending.next();
  for (let number = 0; !next.done; number++) {
    const path = join(folder.path, `${number}.jsonl`);
    const pack = { path, lines: 0, bytes: 0 };
    const writer = Writable.toWeb(createWriteStream(path)).getWriter();
    while (!next.done) {
      const line = Buffer.from(`${next.value}\n`);
      const isFull = pack.lines === maxLines || pack.bytes + line.length > maxBytes;
      if (isFull && pack.lines > 0) break;
      await writer.write(line);
      pack.lines++;
      pack.bytes += line.length;
      next = await pending.next();
    }
    await writer.close();
    yield pack;
    await rm(path);
  }
}
