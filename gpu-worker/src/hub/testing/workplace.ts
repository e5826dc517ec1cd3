/** A hub, a folder for what is pulled from it, and a clock that nobody waits for. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { parseModelId } from '../model-id.ts';
import { type PullOptions, pull } from '../pull.ts';
import { type HubSettings, readHubSettings } from '../settings.ts';
import { COMMIT, HubServer, MODEL } from './hub-server.ts';

/** What the hub of a workplace has: weights in five shards. */
export const CHECKPOINT = fileURLToPath(
  new URL('../../../../test/parity/golden/untied/checkpoint', import.meta.url),
);

export class Workplace implements AsyncDisposable {
  readonly hub: HubServer;
  readonly models: string;
  readonly settings: HubSettings;
  /** Where the checkpoint will be. */
  readonly folder: string;
  /** Milliseconds that were asked to pass between two attempts. */
  readonly waits: number[] = [];

  private constructor(hub: HubServer, models: string, env: Record<string, string>) {
    this.hub = hub;
    this.models = models;
    this.settings = readHubSettings({
      HF_ENDPOINT: hub.endpoint,
      BLIP2_MODELS: models,
      ...env,
    });
    this.folder = join(models, MODEL.replace('/', '--'), COMMIT);
  }

  static async open(env: Record<string, string> = {}): Promise<Workplace> {
    const models = await mkdtemp(join(tmpdir(), 'blip2-models-'));
    return new Workplace(await HubServer.start(CHECKPOINT), models, env);
  }

  async pull(options: PullOptions = {}, name = MODEL): Promise<string> {
    return await pull(parseModelId(name, this.settings.endpoint), this.settings, {
      wait: async (ms) => void this.waits.push(ms),
      ...options,
    });
  }

  /** Expects the folder to be the checkpoint, byte for byte, and nothing else. */
  async expectWhole(folder = this.folder): Promise<void> {
    expect((await readdir(folder)).sort()).toEqual([...this.hub.files.keys()].sort());
    for (const [name, bytes] of this.hub.files) {
      expect(bytes.equals(await readFile(join(folder, name))), name).toBe(true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    await rm(this.models, { recursive: true, force: true });
  }
}
