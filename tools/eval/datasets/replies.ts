/** Replies that were paid for already, a line of JSON each: an evaluation that was ended goes on where it was. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { DatasetError } from './dataset-files.ts';

const NEWLINE = 10;

export class Replies<T> {
  readonly #values: Map<string, T>;
  readonly #file: FileHandle;
  #lastWrite: Promise<unknown> = Promise.resolve();

  private constructor(values: Map<string, T>, file: FileHandle) {
    this.#values = values;
    this.#file = file;
  }

  /**
   * Reads what is there; the last line is dropped where it is not whole.
   * @throws DatasetError when another line is not of the form, or the file cannot be written
   */
  static async open<T>(path: string, value: z.ZodMiniType<T>): Promise<Replies<T>> {
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    const whole = bytes.lastIndexOf(NEWLINE) + 1;
    const Line = z.object({ id: z.string(), value });
    const values = new Map<string, T>();
    const lines = bytes.toString('utf8', 0, whole).split('\n').slice(0, -1);
    for (const [i, line] of lines.entries()) {
      const result = Line.safeParse(parsed(line));
      if (!result.success) {
        throw new DatasetError(
          `Line ${i + 1} of ${path} is no reply of an evaluation: remove the line, or the file.`,
        );
      }
      values.set(result.data.id, result.data.value as T);
    }
    const file = await open(path, 'a').catch((error: Error) => {
      throw new DatasetError(
        `Replies cannot be stored (${error.message}): name a folder for them with --replies.`,
      );
    });
    if (whole < bytes.length) await file.truncate(whole);
    return new Replies(values, file);
  }

  get size(): number {
    return this.#values.size;
  }

  /** The stored reply, or the one that `ask` gets, which is stored before this returns. */
  async reply(id: string, ask: () => Promise<T>): Promise<T> {
    const stored = this.#values.get(id);
    if (stored !== undefined) return stored;
    const value = await ask();
    this.#values.set(id, value);
    // One after the other: parts of two lines must not mix.
    this.#lastWrite = this.#lastWrite.then(() =>
      this.#file.appendFile(`${JSON.stringify({ id, value })}\n`),
    );
    await this.#lastWrite;
    return value;
  }

  has(id: string): boolean {
    return this.#values.has(id);
  }

  async close(): Promise<void> {
    await this.#lastWrite.catch(() => {});
    await this.#file.close();
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
