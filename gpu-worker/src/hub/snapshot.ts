/** The files of one commit that a bundle needs, and what of them is in a folder. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubClient, HubFile } from './client.ts';
import { digestOf } from './digest.ts';
import { bytesKept, download } from './download.ts';
import { HubError } from './errors.ts';
import type { ModelId } from './model-id.ts';
import { formatBytes, PullMeter, type PullProgress } from './progress.ts';
import type { RetryOptions } from './retry.ts';
import { SHARD_INDEX, selectFiles, selectShards } from './select-files.ts';

export type SnapshotOptions = {
  client: HubClient;
  model: ModelId;
  commit: string;
  folder: string;
  /** What a file of the right name and size in the folder is worth. */
  present: 'was verified' | 'may be anything';
  stallMs: number;
  retry: RetryOptions;
};

/** A file, and how many of its bytes are in the folder already. */
type Wanted = { file: HubFile; there: number; isWhole: boolean };

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
   * The files needed, largest first. The list of shards is fetched for it where there is one.
   * @throws HubError when the commit is none that can be used, or the folder holds other weights
   */
  async files(): Promise<Wanted[]> {
    const { client, commit, model } = this.#options;
    const listed = await client.files(commit);
    const files = selectFiles(listed, model);
    const index = files.find(({ path }) => path === SHARD_INDEX);
    if (index !== undefined) {
      const wanted = await this.#wanted(index);
      if (!wanted.isWhole) await this.#download(wanted, () => {});
      files.push(...selectShards(await readFile(this.#target(index), 'utf8'), listed));
    }
    await this.#refuseOtherWeights(files);
    const wanted = await Promise.all(files.map((file) => this.#wanted(file)));
    return wanted.sort((a, b) => b.file.size - a.file.size);
  }

  /** @throws HubError when the disk has no room for what is missing */
  async checkSpace(
    wanted: readonly Wanted[],
    freeBytes: (folder: string) => Promise<number>,
  ): Promise<void> {
    const { folder, model } = this.#options;
    const missing = wanted.reduce((sum, { file, there }) => sum + file.size - there, 0);
    const free = await freeBytes(folder);
    if (missing <= free) return;
    throw new HubError(
      `The disk of ${folder} is too full for ${model.id}: ${formatBytes(missing)} are needed, ${formatBytes(free)} are free. BLIP2_MODELS chooses another place.`,
    );
  }

  /** Fetches what is missing, several files at a time. */
  async fetch(
    wanted: readonly Wanted[],
    { connections, onProgress, stop }: FetchOptions,
  ): Promise<void> {
    const total = wanted.reduce((sum, { file }) => sum + file.size, 0);
    const meter = new PullMeter(total, onProgress, () => performance.now());
    for (const { file, there } of wanted) meter.found(file.path, there);
    const queue = wanted.filter(({ isWhole }) => !isWhole);
    const connection = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { path } = next.file;
        await this.#download(next, (bytes) => meter.has(path, bytes));
      }
    };
    const running = Array.from({ length: connections }, () =>
      connection().catch((error) => {
        stop.abort(error);
        throw error;
      }),
    );
    // All have ended before the folder is given to anyone else.
    await Promise.allSettled(running);
    stop.signal.throwIfAborted();
  }

  async #download({ file }: Wanted, onBytes: (bytes: number) => void): Promise<void> {
    const { client, commit, retry, stallMs } = this.#options;
    await download({
      file,
      target: this.#target(file),
      open: (from, signal) => client.open(commit, file.path, from, signal),
      onBytes,
      retry,
      stallMs,
    });
  }

  async #wanted(file: HubFile): Promise<Wanted> {
    const target = this.#target(file);
    const found = await stat(target).catch(() => null);
    if (found?.size === file.size) {
      const isIt =
        this.#options.present === 'was verified' ||
        (await digestOf(target, file)) === file.digest.hex;
      if (isIt) return { file, there: file.size, isWhole: true };
    }
    return { file, there: Math.min(await bytesKept(target), file.size), isWhole: false };
  }

  /** Weights of another model beside these would be mistaken for theirs. */
  async #refuseOtherWeights(files: readonly HubFile[]): Promise<void> {
    const { folder } = this.#options;
    const ours = new Set(files.map(({ path }) => path));
    const other = (await readdir(folder)).find(
      (name) => /\.safetensors(\.index\.json)?$/.test(name) && !ours.has(name),
    );
    if (other === undefined) return;
    throw new HubError(
      `${folder} holds ${other}, which is of another model. Give an empty folder.`,
    );
  }

  #target({ path }: HubFile): string {
    return join(this.#options.folder, path);
  }
}
