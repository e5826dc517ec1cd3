/** The lines that batches wrote, in the order of the input: one for each of its lines. */
import { createReadStream } from 'node:fs';
import * as z from 'zod/mini';
import type { BatchInput } from './batch-input.ts';
import { CliError, EXIT } from './failure.ts';
import { numberedLines } from './lines.ts';

/** What a batch wrote, each file in the order of its own lines: those that succeeded, and the others. */
export type BatchFiles = { url: string; output: string | null; errors: string | null };

const OutputLine = z.looseObject({ custom_id: z.string() });

type Line = { text: string; id: string; isFailed: boolean };

/**
 * @param batches those of one route in the order of their lines
 * @throws CliError where a line of the input has none
 */
export async function* mergedLines(
  { order }: Pick<BatchInput, 'order'>,
  batches: readonly BatchFiles[],
): AsyncGenerator<{ text: string; isFailed: boolean }, void, undefined> {
  const byUrl = Map.groupBy(batches, ({ url }) => url);
  const readers = new Map(
    [...byUrl].map(([url, files]) => [url, new OrderedReader(files)] as const),
  );
  for (const { id, url } of order) {
    const line = await readers.get(url)?.next(id);
    if (line === undefined) {
      throw new CliError(`The service wrote no line for ${JSON.stringify(id)}.`, EXIT.refused);
    }
    yield line;
  }
}

/** Finds the line with an id at the head of one of two files, whoever asks in the order of the lines. */
class OrderedReader {
  readonly #batches: BatchFiles[];
  #heads: { lines: AsyncGenerator<Line>; head: Line | undefined }[] = [];

  constructor(batches: readonly BatchFiles[]) {
    this.#batches = [...batches];
  }

  async next(id: string): Promise<Line | undefined> {
    for (;;) {
      const found = this.#heads.find(({ head }) => head?.id === id);
      if (found !== undefined) {
        const { head } = found;
        found.head = await nextOf(found.lines);
        return head;
      }
      if (this.#heads.some(({ head }) => head !== undefined)) return undefined;
      const batch = this.#batches.shift();
      if (batch === undefined) return undefined;
      const files = [linesOf(batch.output, false), linesOf(batch.errors, true)];
      this.#heads = await Promise.all(
        files.map(async (lines) => ({ lines, head: await nextOf(lines) })),
      );
    }
  }
}

async function nextOf(lines: AsyncGenerator<Line>): Promise<Line | undefined> {
  const next = await lines.next();
  return next.done ? undefined : next.value;
}

async function* linesOf(path: string | null, isFailed: boolean): AsyncGenerator<Line> {
  if (path === null) return;
  for await (const { text } of numberedLines(createReadStream(path))) {
    const { custom_id: id } = OutputLine.parse(JSON.parse(text));
    yield { text, id, isFailed };
  }
}
