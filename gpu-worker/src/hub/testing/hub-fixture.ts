/** For tests: a hub on this machine, an empty cache for what is pulled from it, and a clock that nobody waits for. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { parseModelId } from '../model-id.ts';
import type { HubOptions } from '../options.ts';
import { type PullOptions, pull } from '../pull.ts';
import { COMMIT, HubServer, MODEL } from './hub-server.ts';

/** What the hub has: weights in five shards. */
export const CHECKPOINT = fileURLToPath(
  new URL('../../../../test/parity/golden/untied/checkpoint', import.meta.url),
);

export class HubFixture implements AsyncDisposable {
  readonly hub: HubServer;
  readonly options: HubOptions;
  /** Folder of the model in the cache. */
  readonly repository: string;
  /** Where the checkpoint will be. */
  readonly folder: string;
  /** Milliseconds that were asked to pass between two attempts. */
  readonly waits: number[] = [];

  private constructor(hub: HubServer, options: HubOptions) {
    this.hub = hub;
    this.options = options;
    this.repository = join(options.cache, `models--${MODEL.replace('/', '--')}`);
    this.folder = join(this.repository, 'snapshots', COMMIT);
  }

  static async open(options: Partial<HubOptions> = {}): Promise<HubFixture> {
    const hub = await HubServer.start(CHECKPOINT);
    const cache = await mkdtemp(join(tmpdir(), 'blip2-hub-'));
    const { endpoint } = hub;
    return new HubFixture(hub, { endpoint, token: undefined, offline: false, cache, ...options });
  }

  get cache(): string {
    return this.options.cache;
  }

  /** Where the cache collects the bytes of a file of the hub until they are verified. */
  partialOf(name: string): string {
    return join(this.repository, 'blobs', `${this.hub.digestOf(name)}.incomplete`);
  }

  async pull(options: PullOptions = {}, name = MODEL): Promise<string> {
    return await pull(parseModelId(name, this.options.endpoint), this.options, {
      wait: async (ms) => void this.waits.push(ms),
      ...options,
    });
  }

  /** Expects the folder to be the checkpoint, byte for byte, and nothing else. */
  async expectWhole(folder = this.folder): Promise<void> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory());
    const paths = files.map(({ parentPath, name }) => relative(folder, join(parentPath, name)));
    expect(paths.sort()).toEqual([...this.hub.files.keys()].sort());
    for (const [name, bytes] of this.hub.files) {
      expect(bytes.equals(await readFile(join(folder, name))), name).toBe(true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    await rm(this.cache, { recursive: true, force: true });
  }
}
