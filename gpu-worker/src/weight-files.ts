/**
 * Notices that files of weights are changed or cut while they are served. They are mapped into memory: what maps them
 * computes something else from then on, and no digest is compared again.
 */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { openRegular } from './regular-file.ts';

type WatchedFile = { path: string; file: FileHandle; opened: BigIntStats };

const LOOK_MS = 1000;

/**
 * Files that are open for as long as they are mapped. The files themselves are looked at, not their paths: one that another
 * has replaced as a whole (a bundle that was built again) stays what it was for whoever has mapped it.
 */
export class WeightFiles implements AsyncDisposable {
  readonly #files: readonly WatchedFile[];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(files: readonly WatchedFile[]) {
    this.#files = files;
  }

  /** To be opened before they are mapped, and before their digests are compared. @throws FileError */
  static async open(paths: readonly string[]): Promise<WeightFiles> {
    await using stack = new AsyncDisposableStack();
    const files: WatchedFile[] = [];
    for (const path of new Set(paths)) {
      const file = stack.use(await openRegular(path));
      files.push({ path, file, opened: await file.stat({ bigint: true }) });
    }
    stack.move();
    return new WeightFiles(files);
  }

  /** Path of a file whose bytes somebody has written or cut since it was opened. */
  async changed(): Promise<string | undefined> {
    for (const { path, file, opened } of this.#files) {
      // A file on a network's disk that its server no longer has cannot be read by its mapping either.
      const now = await file.stat({ bigint: true }).catch(() => null);
      if (now?.size !== opened.size || now.mtimeNs !== opened.mtimeNs) return path;
    }
    return undefined;
  }

  /** Calls the listener with the path of the first file that changes, once. */
  watch(onChange: (path: string) => void, lookMs = LOOK_MS): void {
    const look = async () => {
      const path = await this.changed();
      if (this.#isClosed) return;
      if (path === undefined) this.watch(onChange, lookMs);
      else onChange(path);
    };
    this.#timer = setTimeout(look, lookMs).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const { file } of this.#files) await file.close();
  }
}
