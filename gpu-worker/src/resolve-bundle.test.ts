/** What is pulled for a bundle: the base that a checkpoint names, a second tokenizer, and nothing large of what is refused. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withDefaults } from '@blip2/shared/config/option';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeQueryAdapter } from '../../test/support/query-adapter.ts';
import { ensureBundle, readManifest } from './builder/index.ts';
import { HubServer, MODEL } from './hub/testing/hub-server.ts';
import { MODEL_OPTIONS, type ModelSettings } from './model-options.ts';
import { type BundleProgress, resolveBundle } from './resolve-bundle.ts';

const GOLDEN = fileURLToPath(new URL('../../test/parity/golden', import.meta.url));
const BASE = join(GOLDEN, 'half/checkpoint');
const ADAPTER = join(GOLDEN, 'adapters/lora');

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-base-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function adapterOf(base: string): Promise<string> {
  const folder = join(root, 'lora');
  await cp(ADAPTER, folder, { recursive: true });
  const path = join(folder, 'adapter_config.json');
  const config = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify({ ...config, base_model_name_or_path: base }));
  return folder;
}

const settingsFor = (hub: HubServer): ModelSettings => ({
  ...withDefaults(MODEL_OPTIONS),
  hfEndpoint: hub.endpoint,
  hfHubCache: join(root, 'cache'),
  bundles: join(root, 'bundles'),
});

it('the base of an adapter is pulled, and the bundle is that of a base on this machine', async () => {
  await using hub = await HubServer.start(BASE);
  const steps: BundleProgress['step'][] = [];
  const folder = await adapterOf(MODEL);
  const { checkpoint, bundle } = await resolveBundle(folder, settingsFor(hub), ({ step }) =>
    steps.push(step),
  );
  expect(checkpoint).toBe(folder);
  expect(hub.downloads.toSorted()).toEqual([...hub.files.keys()].sort());
  expect(new Set(steps)).toEqual(new Set(['download', 'build']));

  const local = await ensureBundle(await adapterOf(BASE), { bundles: join(root, 'local') });
  const { revision: _revision, digest: _revisionDigest, ...pulled } = await readManifest(bundle);
  const { revision: _other, digest: _otherDigest, ...built } = await readManifest(local);
  expect(pulled).toEqual(built);
});

it('a base that no hub has is refused with what to do', async () => {
  await using hub = await HubServer.start(BASE);
  const folder = await adapterOf('tests/nothing');
  await expect(resolveBundle(folder, settingsFor(hub))).rejects.toThrow(
    /needs its base "tests\/nothing": There is no model tests\/nothing.* Put its path into base_model_name_or_path/,
  );
});

it('a file of weights is built as its folder is', async () => {
  await using hub = await HubServer.start(BASE);
  const file = join(BASE, 'model.safetensors');
  const { checkpoint, bundle } = await resolveBundle(file, settingsFor(hub));
  expect(checkpoint).toBe(file);
  expect((await readManifest(bundle)).name).toBe('checkpoint');
});

describe('InstructBLIP', () => {
  const INSTRUCT = join(GOLDEN, 'instruct-t5/checkpoint');

  /** A hub that has the random checkpoint, with its config changed. */
  async function hubWith(change: (config: Record<string, unknown>) => void): Promise<HubServer> {
    const hub = await HubServer.start(INSTRUCT);
    const config = JSON.parse(hub.files.get('config.json')!.toString());
    change(config);
    hub.files.set('config.json', Buffer.from(JSON.stringify(config, null, 2)));
    return hub;
  }

  it('is pulled with the tokenizer of its Q-Former, and is the bundle of its folder', async () => {
    await using hub = await HubServer.start(INSTRUCT);
    expect(hub.files.has('qformer_tokenizer/tokenizer.json')).toBe(true);
    const { bundle } = await resolveBundle(MODEL, settingsFor(hub));
    expect(hub.downloads.toSorted()).toEqual([...hub.files.keys()].sort());
    const local = await ensureBundle(INSTRUCT, { bundles: join(root, 'local') });
    const { name: _name, digest: _nameDigest, ...pulled } = await readManifest(bundle);
    const { name: _other, digest: _otherDigest, ...built } = await readManifest(local);
    expect(pulled).toEqual(built);
    expect(built.files.map(({ path }) => path)).toContain('qformer_tokenizer/tokenizer.json');
    hub.requests.length = 0;
    expect((await resolveBundle(MODEL, settingsFor(hub))).bundle).toBe(bundle);
    expect(hub.requests).toEqual([]);
  });

  it.each<[string, (config: Record<string, unknown>) => void, RegExp]>([
    [
      'on Vicuna',
      (config) => Object.assign(config.text_config as object, { model_type: 'llama' }),
      /llama \(Vicuna\): .*Use Salesforce\/instructblip-flan-t5-xl/,
    ],
    [
      'for videos',
      (config) => {
        config.architectures = ['InstructBlipVideoForConditionalGeneration'];
      },
      /InstructBlipVideoForConditionalGeneration is not supported/,
    ],
  ])('%s is refused by name before its weights are fetched', async (_name, change, message) => {
    await using hub = await hubWith(change);
    await expect(resolveBundle(MODEL, settingsFor(hub))).rejects.toThrow(message);
    expect(hub.downloads).toEqual(['config.json']);
  });

  it('without the tokenizer of its Q-Former is refused before its weights are fetched', async () => {
    await using hub = await HubServer.start(INSTRUCT);
    for (const name of hub.files.keys()) if (name.includes('/')) hub.files.delete(name);
    await expect(resolveBundle(MODEL, settingsFor(hub))).rejects.toThrow(
      /lacks the folder qformer_tokenizer/,
    );
    expect(hub.downloads).toEqual(['config.json']);
  });

  it('on Vicuna is refused as the base of an adapter, too, before its weights are fetched', async () => {
    await using hub = await hubWith((config) =>
      Object.assign(config.text_config as object, { model_type: 'llama' }),
    );
    const adapter = join(root, 'adapter');
    await writeQueryAdapter(adapter, MODEL);
    await expect(resolveBundle(adapter, settingsFor(hub))).rejects.toThrow(/llama \(Vicuna\)/);
    expect(hub.downloads).toEqual(['config.json']);
  });

  it('may lack its tokenizers where an adapter brings them, and is then asked for once', async () => {
    await using hub = await HubServer.start(INSTRUCT);
    const [adapter, inner] = [join(root, 'adapter'), 'qformer_tokenizer'];
    await writeQueryAdapter(adapter, MODEL);
    await cp(join(INSTRUCT, 'tokenizer.json'), join(adapter, 'tokenizer.json'));
    await cp(join(INSTRUCT, inner), join(adapter, inner), { recursive: true });
    for (const name of hub.files.keys()) {
      if (name.includes('/') || name === 'tokenizer.json') hub.files.delete(name);
    }
    const { bundle } = await resolveBundle(adapter, settingsFor(hub));
    const paths = (await readManifest(bundle)).files.map(({ path }) => path);
    expect(paths).toContain(`${inner}/tokenizer.json`);
    hub.requests.length = 0;
    expect((await resolveBundle(adapter, settingsFor(hub))).bundle).toBe(bundle);
    expect(hub.requests).toEqual([]);
  });
});
