import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseModelId } from './model-id.ts';
import { type PullOptions, pull } from './pull.ts';
import { type HubSettings, readHubSettings } from './settings.ts';
import { COMMIT, HubServer, MODEL } from './testing/hub-server.ts';

const CHECKPOINT = fileURLToPath(
  new URL('../../../test/parity/golden/untied/checkpoint', import.meta.url),
);

let hub: HubServer;
let models: string;
let settings: HubSettings;
/** Delays that were asked for; none of them is waited for. */
let waits: number[];
beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'blip2-models-'));
  hub = await HubServer.start(CHECKPOINT);
  settings = readHubSettings({ HF_ENDPOINT: hub.endpoint, BLIP2_MODELS: models });
  waits = [];
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(models, { recursive: true, force: true });
});

async function pullModel(options: PullOptions = {}, name = MODEL): Promise<string> {
  return await pull(parseModelId(name, settings.endpoint), settings, {
    wait: async (ms) => void waits.push(ms),
    ...options,
  });
}

async function expectWhole(folder: string): Promise<void> {
  expect((await readdir(folder)).sort()).toEqual((await readdir(CHECKPOINT)).sort());
  for (const name of await readdir(folder)) {
    expect(await readFile(join(folder, name)), name).toEqual(
      await readFile(join(CHECKPOINT, name)),
    );
  }
}

describe('pulling a model', () => {
  it('brings every file a bundle needs, and a second time fetches nothing', async () => {
    const folder = await pullModel();
    expect(folder).toBe(join(models, 'tests--tiny-blip2', COMMIT));
    await expectWhole(folder);

    hub.seen.length = 0;
    expect(await pullModel()).toBe(folder);
    expect(hub.downloads).toEqual([]);
  });
});
