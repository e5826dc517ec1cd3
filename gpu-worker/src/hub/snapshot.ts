/** The files of one commit that a bundle needs: which there are, and bringing those that are missing. */
import { dirname, join } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import { readText } from '../regular-file.ts';
import type { HubClient, HubFile } from './client.ts';
import type { Destination } from './destination.ts';
import { download, partialSize } from './download.ts';
import { HubError } from './errors.ts';
import type { ModelId } from './model-id.ts';
import { formatBytes, type PullProgress, PullProgressTracker } from './progress.ts';
import type { RetryOptions } from './retry.ts';
import { selectShards } from './select-files.ts';
import { isShardIndex } from './weight-names.ts';

export type SnapshotOptions = {
  client: HubClient;
  model: ModelId;
  commit: string;
  destination: Destination;
  stallMs: number;
  retry: RetryOptions;
  objection: Objection | undefined;
};

/**
 * Why a checkpoint cannot be used, asked before its weights are fetched; null where it can, as far as its config tells.
 * @param config the text of its config.json
 * @param names paths of the files of the commit
 */
export type Objection = (config: string, names: readonly string[]) => string | null;

/** Bytes to be had, and all files of the commit that have them. */
type Content = {
  file: HubFile;
  names: readonly HubFile[];
  target: string;
  /** Bytes that are there already. */
  present: number;
  isWhole: boolean;
};

type FetchOptions = {
  connections: number;
  onProgress: (progress: PullProgress) => void;
  /** Aborted when one file fails, so that the others end too. */
  stop: AbortController;
};

export class Snapshot {
  readonly #options: SnapshotOptions;

  constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  /**
   * The contents needed, largest first. For it the config, and the list of shards where there is one, are fetched.
   * @param selected those that are needed but for shards
   * @param listed every file of the commit
   * @throws HubError when the config is objected to, the index of shards is none, or the folder holds other weights
   */
  async contents(selected: readonly HubFile[], listed: readonly HubFile[]): Promise<Content[]> {
    const { destination } = this.#options;
    const files = [...selected];
    await this.#checkConfig(files, listed);
    const index = files.find(({ path }) => isShardIndex(path));
    if (index !== undefined) {
      files.push(...selectShards(index.path, await this.#textOf(index), listed));
    }
    await destination.check(files);
    const byTarget = Map.groupBy(files, destination.targetOf);
    const contents = await Promise.all([...byTarget.values()].map((names) => this.#content(names)));
    return contents.sort((a, b) => b.file.size - a.file.size);
  }

  /** @throws HubError when the disk has no room for what is missing */
  async checkSpace(
    contents: readonly Content[],
    freeBytes: (folder: string) => Promise<number>,
  ): Promise<void> {
    const { destination, model } = this.#options;
    const missing = contents.reduce((sum, { file, present }) => sum + file.size - present, 0);
    const free = await freeBytes(destination.folder);
    if (missing <= free) return;
    throw new HubError(
      `The disk of ${destination.folder} is too full for ${model.id}: ${formatBytes(missing)} are needed, ${formatBytes(free)} are free. ${destination.advice}`.trimEnd(),
    );
  }

  /** Fetches what is missing, several files at a time, and publishes all of it. */
  async fetch(
    contents: readonly Content[],
    { connections, onProgress, stop }: FetchOptions,
  ): Promise<void> {
    const total = contents.reduce((sum, { file }) => sum + file.size, 0);
    const tracker = new PullProgressTracker(total, onProgress, () => performance.now());
    for (const { target, present } of contents) tracker.resume(target, present);
    const queue = [...contents];
    const connection = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { target } = next;
        await this.#bring(next, (bytes) => tracker.update(target, bytes));
      }
    };
    const running = Array.from({ length: connections }, () =>
      connection().catch((error) => {
        stop.abort(error);
        throw error;
      }),
    );
    // All have ended before the lock is released.
    await Promise.allSettled(running);
    stop.signal.throwIfAborted();
  }

  async #checkConfig(files: readonly HubFile[], listed: readonly HubFile[]): Promise<void> {
    const { model, objection } = this.#options;
    const config = files.find(({ path }) => path === 'config.json');
    if (config === undefined || objection === undefined) return;
    const names = listed.map(({ path }) => path);
    const why = objection(await this.#textOf(config), names);
    if (why !== null) throw new HubError(`${model.id} at ${model.revision} is refused: ${why}`);
  }

  async #textOf(file: HubFile): Promise<string> {
    await this.#bring(await this.#content([file]), () => {});
    return await readText(join(this.#options.destination.folder, file.path));
  }

  async #bring(
    { file, names, target, isWhole }: Content,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { client, commit, destination, retry, stallMs } = this.#options;
    if (!isWhole) {
      await makeFolder(dirname(target), destination.advice);
      await download({
        file,
        target,
        open: (from, signal) => client.open(commit, file.path, from, signal),
        onBytes,
        retry,
        stallMs,
      });
    }
    for (const name of names) await destination.publish(name);
  }

  async #content(names: readonly HubFile[]): Promise<Content> {
    const { destination } = this.#options;
    const [file] = names as [HubFile];
    const target = destination.targetOf(file);
    const isWhole = await destination.has(file);
    const present = isWhole ? file.size : Math.min(await partialSize(target), file.size);
    return { file, names, target, present, isWhole };
  }
}
