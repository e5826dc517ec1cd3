/** Adapters of peft are merged into their base as peft does it, pulled with it, and refused by name where they cannot be. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '@blip2/gpu-worker/builder/checkpoint/open-checkpoint';
import { readAll } from '@blip2/gpu-worker/builder/checkpoint/tensor-source';
import { openSafetensors } from '@blip2/gpu-worker/builder/checkpoint/weight-files';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGolden, rowOf } from '../../tools/eval/goldens.ts';
import { BundleRunner } from '../support/bundle-runner.ts';
import { maxDifference } from '../support/difference.ts';

/** Written by golden/make/adapters.py: adapters whose base is the checkpoint of another case. */
const ADAPTERS = fileURLToPath(new URL('../parity/golden/adapters/', import.meta.url));
const OF_OPT = [
  'lora',
  'lora-bin',
  'stabilized',
  'saved-modules',
  'saved-embeddings',
  'whole-name',
  'dora',
  'embedding',
  'head',
  'lora-bias',
  'more-tokens',
  'more-tokens-saved',
  'of-language-model',
  'of-qformer',
  'of-image-encoder',
  'all-linear',
  'loha',
  'ia3',
];
const OF_T5 = ['t5', 't5-head', 't5-ia3'];
/** Of golden/make/adapters.py. */
const PROMPT = [2, 17, 33, 8];

let root: string;
let bundles: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-adapters-'));
  bundles = join(root, 'bundles');
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function expectedOf(name: string) {
  const tensors = await openSafetensors(join(ADAPTERS, name, 'expected.safetensors'));
  const logits = tensors.get('logits');
  tensors.delete('logits');
  return { merged: tensors, logits: logits === undefined ? null : await readAll(logits) };
}

/** Logits behind the prompt about the first image of the base's case. */
async function logitsOf(bundle: string): Promise<Float32Array> {
  const runner = await BundleRunner.load(bundle);
  const { queryEmbeddings } = await runner.encode(rowOf(readGolden('half').pixels, 0), 1);
  const { num_query_tokens } = runner.manifest;
  const row = { slot: 0, ids: PROMPT, past: 0 };
  const image = { count: num_query_tokens, values: queryEmbeddings };
  const [logits] = await runner.decode([row], image);
  await runner.release();
  return logits!;
}

/** A copy of a case's adapter and its base in one folder. */
async function besideBase(adapter: string): Promise<string> {
  const folder = join(root, `${adapter}-beside`);
  await cp(readGolden('half').checkpoint, folder, { recursive: true });
  await cp(join(ADAPTERS, adapter), folder, { recursive: true });
  return folder;
}

/** A copy of a case's adapter, its base named by its path, and some of its config said otherwise. */
async function changed(adapter: string, change: Record<string, unknown> = {}): Promise<string> {
  const folder = join(root, `${adapter}-changed`);
  await cp(join(ADAPTERS, adapter), folder, { recursive: true });
  const path = join(folder, 'adapter_config.json');
  const config = JSON.parse(await readFile(path, 'utf8'));
  const base_model_name_or_path = readGolden('half').checkpoint;
  await writeFile(path, JSON.stringify({ ...config, base_model_name_or_path, ...change }));
  return folder;
}

describe('an adapter', () => {
  it.each([...OF_OPT, ...OF_T5].filter((name) => name !== 'head'))(
    '%s gives the tensors that peft merges',
    async (name) => {
      const { merged } = await expectedOf(name);
      await using opened = await openCheckpoint(join(ADAPTERS, name));
      const plain = await openSafetensors(
        join(
          ADAPTERS,
          name,
          '../..',
          OF_T5.includes(name) ? 't5' : 'half',
          'checkpoint/model.safetensors',
        ),
      );
      for (const [tensor, expected] of merged) {
        const actual = await readAll(opened.tensors.get(tensor)!);
        const difference = maxDifference(actual, await readAll(expected));
        expect(difference, tensor).toBeLessThan(2e-6);
        expect(maxDifference(actual, await readAll(plain.get(tensor)!)), tensor).toBeGreaterThan(
          1e-3,
        );
      }
    },
  );

  it.each(OF_OPT)('%s gives the logits of the adapted model', async (name) => {
    const bundle = await ensureBundle(join(ADAPTERS, name), { bundles });
    const { logits } = await expectedOf(name);
    expect(maxDifference(await logitsOf(bundle), logits!)).toBeLessThan(1e-4);
  });

  it('of a head that is the embedding changes the head alone', async () => {
    const folder = join(ADAPTERS, 't5-tied-head');
    await using opened = await openCheckpoint(folder);
    const adapter = await openSafetensors(join(folder, 'adapter_model.safetensors'));
    const [a, b] = await Promise.all(
      ['A', 'B'].map((part) =>
        readAll(adapter.get(`base_model.model.language_model.lm_head.lora_${part}.weight`)!),
      ),
    );
    const shared = await readAll(opened.tensors.get('language_model.shared.weight')!);
    const head = await readAll(opened.tensors.get('language_model.lm_head.weight')!);
    const [rank, scale] = [4, 2];
    const width = a!.length / rank;
    const expected = shared.map((value, at) => {
      const [row, column] = [Math.floor(at / width), at % width];
      const ranks = Array.from({ length: rank }, (_, k) => k);
      return (
        value +
        scale * ranks.reduce((sum, k) => sum + b![row * rank + k]! * a![k * width + column]!, 0)
      );
    });
    expect(maxDifference(head, expected)).toBeLessThan(2e-6);
    expect(maxDifference(head, shared)).toBeGreaterThan(1e-3);
    await ensureBundle(folder, { bundles });
  });

  it.each(OF_T5)('%s becomes a bundle', async (name) => {
    await ensureBundle(join(ADAPTERS, name), { bundles });
  });

  it('is merged into the base that lies beside it, and its bundle says so', async () => {
    const { logits } = await expectedOf('lora');
    const bundle = await ensureBundle(await besideBase('lora'), { bundles });
    expect(maxDifference(await logitsOf(bundle), logits!)).toBeLessThan(1e-4);
    expect(basename(bundle)).toMatch(/^lora-beside\+lora-[0-9a-f]{12}$/);
    expect((await readManifest(bundle)).name).toBe('lora-beside+lora');
  });

  it('is of another revision than its base, and than another adapter', async () => {
    const folders = [readGolden('half').checkpoint, join(ADAPTERS, 'lora'), join(ADAPTERS, 'dora')];
    const revisions = await Promise.all(
      folders.map(
        async (folder) => (await readManifest(await ensureBundle(folder, { bundles }))).revision,
      ),
    );
    expect(new Set(revisions).size).toBe(3);
  });

  it('is of another revision when only its scale differs', async () => {
    const revision = async (folder: string) =>
      (await readManifest(await ensureBundle(folder, { bundles }))).revision;
    const before = await revision(await changed('lora'));
    expect(await revision(await changed('lora', { lora_alpha: 16 }))).not.toBe(before);
  });

  it('has its base found by whoever calls, and the tokenizer of either', async () => {
    const folder = await changed('lora', { base_model_name_or_path: 'someone/blip2' });
    await writeFile(join(folder, 'special_tokens_map.json'), '{"pad_token": "w1"}');
    const asked: string[] = [];
    const resolveBase = async (id: string) => {
      asked.push(id);
      return readGolden('half').checkpoint;
    };
    const bundle = await ensureBundle(folder, { bundles, resolveBase });
    expect(asked).toEqual(['someone/blip2']);
    const files = (await readManifest(bundle)).files.map(({ path }) => path);
    expect(files).toEqual(expect.arrayContaining(['tokenizer.json', 'special_tokens_map.json']));
    expect(await ensureBundle(folder, { bundles, resolveBase })).toBe(bundle);
  });

  it('is refused without its base, with what to do', async () => {
    const folder = await changed('lora', { base_model_name_or_path: 'someone/blip2' });
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /needs its base "someone\/blip2", which is not here\. Put its path into base_model_name_or_path/,
    );
  });

  it('with a config of another model beside it is refused', async () => {
    const folder = await changed('lora');
    const config = JSON.parse(
      await readFile(join(readGolden('half').checkpoint, 'config.json'), 'utf8'),
    );
    config.text_config.ffn_dim = 17;
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /is not that of the base in .*: text_config\.ffn_dim is 17, not 96/,
    );
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['of another type', { peft_type: 'LOKR' }, /an adapter of type "LOKR".*merge_and_unload/],
    ['of a prompt', { peft_type: 'PREFIX_TUNING' }, /an adapter of type "PREFIX_TUNING"/],
    ['that says no type', { peft_type: null }, /names no kind of adapter/],
    [
      'whose base was changed by its start',
      { init_lora_weights: 'pissa' },
      /init_lora_weights = "pissa": .* changed the base's weights/,
    ],
    ['of tokens', { trainable_token_indices: [3] }, /know adapter_config\.trainable_token_indices/],
    [
      'of single parameters',
      { target_parameters: ['x'] },
      /know adapter_config\.target_parameters/,
    ],
    [
      'with repeated layers',
      { layer_replication: [[0, 2]] },
      /know adapter_config\.layer_replication/,
    ],
    [
      'with a key nobody knows',
      { use_magic: true },
      /know adapter_config\.use_magic = true.*CONFIG=adapter_config\.use_magic/,
    ],
    ['of another rank', { r: 8 }, /lora_B \[64,4\], rank and weight ask for \[64,8\]/],
    [
      'that changes more than it says',
      { target_modules: ['q_proj'] },
      /v_proj" is changed, which adapter_config\.json does not name/,
    ],
    [
      'with an expression that is none',
      { target_modules: '(?P<x>q)_proj' },
      /expression .* cannot be read/,
    ],
    ['of DoRA without lengths', { use_dora: true }, /lacks lora_magnitude_vector/],
    ['with biases of another kind', { bias: 'some' }, /bias/],
  ])('%s is refused by name', async (_name, change, message) => {
    await expect(ensureBundle(await changed('lora', change), { bundles })).rejects.toThrow(message);
  });

  it('may hold a key that BLIP2_IGNORE_CONFIG names', async () => {
    const folder = await changed('lora', { note: 'tuned on birds' });
    await ensureBundle(folder, { bundles, ignoredKeys: ['adapter_config.note'] });
  });

  it('of another model is refused', async () => {
    const folder = await changed('t5');
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /changes "language_model\.decoder\.block\.0.*", which the base does not have/,
    );
  });

  it('without its weights is refused', async () => {
    const folder = await changed('lora');
    await rm(join(folder, 'adapter_model.safetensors'));
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /has adapter_config\.json but no adapter_model\.safetensors/,
    );
  });
});
