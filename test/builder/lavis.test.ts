/** Checkpoints of LAVIS become the bundles of the same tensors under transformers' names, or are refused with what to add. */
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readAll } from '@blip2/gpu-worker/builder/checkpoint/tensor-source';
import { openSafetensors } from '@blip2/gpu-worker/builder/checkpoint/weight-files';
import {
  ensureBundle,
  readGenerativeManifest,
  readManifest,
  readRetrievalManifest,
} from '@blip2/gpu-worker/builder/index';
import { ImageEncoder } from '@blip2/gpu-worker/engine/models/image-encoder';
import { RetrievalModel } from '@blip2/gpu-worker/engine/models/retrieval-model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maxDifference } from '../support/difference.ts';
import { editTensors } from '../support/edit-checkpoint.ts';
import { PROVIDER } from '../support/provider.ts';

const GOLDEN = fileURLToPath(new URL('../parity/golden/', import.meta.url));
/** Written by golden/make/lavis.py. */
const LAVIS = join(GOLDEN, 'lavis');

let root: string;
let bundles: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-lavis-'));
  bundles = join(root, 'bundles');
});
afterEach(() => rm(root, { recursive: true, force: true }));

type Extras = {
  /** Of lavis.json. */
  settings?: Record<string, unknown>;
  /** More of LAVIS's files. */
  files?: string[];
  /** Case of whose checkpoint the tokenizer is. */
  tokenizer?: string;
};

/** A folder with one of LAVIS's checkpoints. */
async function lavisFolder(checkpoint: string, { settings, files = [], tokenizer }: Extras) {
  const folder = join(root, 'lavis');
  await mkdir(folder);
  for (const file of [checkpoint, ...files]) await copyFile(join(LAVIS, file), join(folder, file));
  if (settings !== undefined) {
    await writeFile(join(folder, 'lavis.json'), JSON.stringify(settings));
  }
  if (tokenizer !== undefined) {
    const from = join(GOLDEN, tokenizer, 'checkpoint/tokenizer.json');
    await copyFile(from, join(folder, 'tokenizer.json'));
  }
  return folder;
}

/** The case's checkpoint without biases of the keys, as LAVIS's models are. */
async function transformersFolder(name: string, files: Record<string, unknown> = {}) {
  const folder = join(root, `${name}-transformers`);
  await cp(join(GOLDEN, name, 'checkpoint'), folder, { recursive: true });
  for (const file of await readdir(folder)) {
    if (file.endsWith('.safetensors')) await zeroKeyBiases(join(folder, file));
  }
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), JSON.stringify(content));
  }
  return folder;
}

async function zeroKeyBiases(path: string): Promise<void> {
  const bytes = await readFile(path);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header: Record<string, { data_offsets: [number, number] }> = JSON.parse(
    bytes.toString('utf8', 8, start),
  );
  for (const [name, entry] of Object.entries(header)) {
    if (!name.endsWith('self_attn.qkv.bias')) continue;
    const [from, to] = entry.data_offsets.map((offset) => start + offset) as [number, number];
    const third = (to - from) / 3;
    bytes.fill(0, from + third, from + 2 * third);
  }
  await writeFile(path, bytes);
}

/** The language model of the OPT case alone, as `facebook/opt-…` is saved. */
async function optAlone(): Promise<string> {
  const folder = join(root, 'opt-alone');
  await cp(join(GOLDEN, 'half/checkpoint'), folder, { recursive: true });
  await editTensors(folder, (header) => {
    for (const [name, entry] of Object.entries(header)) {
      delete header[name];
      // The model without its head, as OPT was published.
      const inner = /^language_model\.model\.(decoder\..*)$/.exec(name)?.[1];
      if (inner !== undefined) header[inner] = entry;
    }
  });
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
  await writeFile(join(folder, 'config.json'), JSON.stringify(config.text_config));
  await writeFile(join(folder, 'generation_config.json'), '{"eos_token_id": 2, "num_beams": 4}');
  return folder;
}

/** Graphs and weights, by their hashes. */
async function graphsOf(bundle: string) {
  const { files } = await readManifest(bundle);
  return files.filter(({ path }) => /\.(onnx|bin)$/.test(path));
}

async function expectSameGraphs(actual: string, expected: string): Promise<void> {
  expect(await graphsOf(actual)).toEqual(await graphsOf(expected));
}

const HEADS = { vision_heads: 2, qformer_heads: 2 };

describe('a checkpoint of LAVIS', () => {
  it('that was fine-tuned, frozen parts from a BLIP-2 of transformers', async () => {
    const base = await transformersFolder('half');
    const settings = { base, ...HEADS, image_size: 16 };
    const folder = await lavisFolder('checkpoint_best.pth', { settings });
    const bundle = await ensureBundle(folder, { bundles });
    const expected = await ensureBundle(base, { bundles });
    await expectSameGraphs(bundle, expected);
    const {
      revision,
      name,
      files,
      digest: _digest,
      ...manifest
    } = await readGenerativeManifest(bundle);
    const other = await readGenerativeManifest(expected);
    expect({ ...other, ...manifest, revision: '', name: '', files: [] }).toEqual({
      ...other,
      revision: '',
      name: '',
      files: [],
    });
    expect(revision).not.toBe(other.revision);
    expect(name).toBe('lavis');
    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['config.json', 'tokenizer.json', 'preprocessor_config.json']),
    );
    expect(await ensureBundle(folder, { bundles })).toBe(bundle);
  });

  it('that was trained on larger images, whose size its trainer wrote down', async () => {
    const base = await transformersFolder('half', {
      'preprocessor_config.json': { size: { height: 24, width: 24 } },
    });
    const folder = await lavisFolder('checkpoint_best.pth', { settings: { base, ...HEADS } });
    const bundle = await ensureBundle(folder, { bundles });
    expect((await readManifest(bundle)).image.size).toBe(24);
    await expectSameGraphs(bundle, await ensureBundle(base, { bundles }));
  });

  it('with the image encoder in a file of its own, one block longer, and OPT alone as base', async () => {
    const base = await optAlone();
    const settings = { base, ...HEADS, vision_layers: 1, image_size: 16, eos_token_id: 3 };
    const files = ['eva_vit_g.pth'];
    const folder = await lavisFolder('checkpoint_best.pth', { settings, files });
    const bundle = await ensureBundle(folder, { bundles });
    await expectSameGraphs(
      bundle,
      await ensureBundle(await transformersFolder('half'), { bundles }),
    );
    const manifest = await readGenerativeManifest(bundle);
    expect(manifest.eos_token_ids).toEqual([3]);
  });

  it('with its own image encoder, and with everything', async () => {
    const expected = await ensureBundle(await transformersFolder('half'), { bundles });
    const base = await optAlone();
    const settings = { base, ...HEADS, eos_token_id: 3 };
    const caption = await lavisFolder('caption_opt.pth', { settings });
    await expectSameGraphs(await ensureBundle(caption, { bundles }), expected);
    await rm(caption, { recursive: true });
    const whole = await lavisFolder('whole_opt.pth', {
      settings: { ...HEADS, text_heads: 2, eos_token_id: 3 },
      tokenizer: 'half',
    });
    await expectSameGraphs(await ensureBundle(whole, { bundles }), expected);
  });

  it('given by the path of its file', async () => {
    const settings = { ...HEADS, text_heads: 2, eos_token_id: 3 };
    const folder = await lavisFolder('whole_opt.pth', { settings, tokenizer: 'half' });
    const bundle = await ensureBundle(join(folder, 'whole_opt.pth'), { bundles });
    expect((await readManifest(bundle)).name).toBe('whole_opt');
  });

  it('with FlanT5, whose gate is the exact GELU whatever its config says', async () => {
    const base = await transformersFolder('t5');
    const expected = await ensureBundle(base, { bundles });
    const path = join(base, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8'));
    delete config.text_config.dense_act_fn;
    await writeFile(path, JSON.stringify(config));
    const settings = { base, vision_heads: 3, qformer_heads: 3 };
    const folder = await lavisFolder('pretrained_t5.pth', { settings });
    await expectSameGraphs(await ensureBundle(folder, { bundles }), expected);
  });

  it('of stage 1 compares images with texts', async () => {
    const expected = await ensureBundle(await withLavisNorms('match-bf16'), { bundles });
    const { vision_heads, qformer_heads } = await headsOf('match-bf16');
    const settings = { vision_heads, qformer_heads, image_size: 42 };
    const folder = await lavisFolder('pretrained.pth', { settings, tokenizer: 'match-bf16' });
    const bundle = await ensureBundle(folder, { bundles });
    await expectSameGraphs(bundle, expected);
    expect((await readRetrievalManifest(bundle)).text).toEqual(
      (await readRetrievalManifest(expected)).text,
    );
  });

  it('with an adapter beside it is merged with it', async () => {
    const adapter = join(GOLDEN, 'adapters/lora');
    const settings = { ...HEADS, text_heads: 2, eos_token_id: 3 };
    const folder = await lavisFolder('whole_opt.pth', { settings, tokenizer: 'half' });
    const reference = await transformersFolder('half');
    for (const to of [folder, reference]) await cp(adapter, to, { recursive: true });
    const bundle = await ensureBundle(folder, { bundles });
    await expectSameGraphs(bundle, await ensureBundle(reference, { bundles }));
    expect((await readManifest(bundle)).name).toBe('lavis+lora');
  });

  it('with a config of transformers beside it needs no settings', async () => {
    const reference = await transformersFolder('match-bf16');
    const folder = await lavisFolder('pretrained.pth', { tokenizer: 'match-bf16' });
    for (const file of ['config.json', 'preprocessor_config.json']) {
      await copyFile(join(reference, file), join(folder, file));
    }
    await expectSameGraphs(
      await ensureBundle(folder, { bundles }),
      await ensureBundle(reference, { bundles }),
    );
  });

  it("with CLIP's ViT-L computes what LAVIS's formulas do", async () => {
    const settings = { vision_heads: 3, qformer_heads: 2, vision_layers: 2 };
    const files = ['clip_vit_L.pth'];
    const folder = await lavisFolder('pretrained_vitL.pth', {
      settings,
      files,
      tokenizer: 'match',
    });
    const bundle = await ensureBundle(folder, { bundles });
    const manifest = await readRetrievalManifest(bundle);
    const options = { executionProvider: PROVIDER, threads: 1 } as const;
    const vision = await ImageEncoder.load(bundle, manifest, options);
    const runner = await RetrievalModel.load(bundle, manifest, options);
    const expected = await openSafetensors(join(LAVIS, 'vitL-expected.safetensors'));
    const all = (name: string) => readAll(expected.get(name)!);
    const half = (values: Float32Array, i: number) =>
      values.slice((i * values.length) / 2, ((i + 1) * values.length) / 2);
    const [pixels, features, embeddings] = [
      await all('pixel_values'),
      await all('image_features'),
      await all('image_embeddings'),
    ];
    for (const i of [0, 1]) {
      const computed = await vision.encode(half(pixels, i));
      expect(maxDifference(computed.data as Float32Array, half(features, i))).toBeLessThan(1e-5);
      const itc = await runner.imageEmbeddings(computed);
      expect(maxDifference(itc, half(embeddings, i))).toBeLessThan(1e-5);
    }
    for (const part of [vision, runner]) await part.release();
  });
});

/** The case's checkpoint with the epsilon of LAVIS's ViT-g. */
async function withLavisNorms(name: string): Promise<string> {
  const folder = await transformersFolder(name);
  const path = join(folder, 'config.json');
  const config = JSON.parse(await readFile(path, 'utf8'));
  config.vision_config.layer_norm_eps = 1e-6;
  await writeFile(path, JSON.stringify(config));
  return folder;
}

async function headsOf(name: string) {
  const path = join(GOLDEN, name, 'checkpoint/config.json');
  const config = JSON.parse(await readFile(path, 'utf8'));
  return {
    vision_heads: config.vision_config.num_attention_heads,
    qformer_heads: config.qformer_config.num_attention_heads,
  };
}

describe('a checkpoint of LAVIS is refused', () => {
  it.each<[string, string, Extras, RegExp]>([
    [
      'without its image encoder',
      'checkpoint_best.pth',
      {},
      /has no image encoder: LAVIS freezes it .*eva_vit_g\.pth beside it/,
    ],
    [
      "without ViT-L's image encoder",
      'pretrained_vitL.pth',
      { tokenizer: 'match' },
      /has no image encoder/,
    ],
    [
      'without its language model',
      'caption_opt.pth',
      {},
      /has no language model: LAVIS freezes it .*"base": .* OPT of width 64/,
    ],
    [
      'whose heads no shape shows',
      'pretrained.pth',
      { tokenizer: 'match-bf16' },
      /width of \d+ whose attention heads no shape shows: write {"vision_heads": …} into lavis\.json/,
    ],
    [
      'with settings nobody knows',
      'whole_opt.pth',
      { settings: { heads: 3 } },
      /lavis\.json: heads is none of base, vision/,
    ],
    [
      'without a token that ends texts',
      'whole_opt.pth',
      { settings: { ...HEADS, text_heads: 2 }, tokenizer: 'half' },
      /which token ends a line/,
    ],
    [
      'without a tokenizer',
      'whole_opt.pth',
      { settings: { ...HEADS, text_heads: 2, eos_token_id: 3 } },
      /lacks tokenizer\.json/,
    ],
    [
      'with an image encoder of another width',
      'pretrained_vitL.pth',
      { files: ['eva_vit_g.pth'], tokenizer: 'match', settings: { vision_heads: 2 } },
      /image features of width 24, and the image encoder's are 32 wide/,
    ],
    [
      'with two image encoders',
      'pretrained_vitL.pth',
      { files: ['eva_vit_g.pth', 'clip_vit_L.pth'], tokenizer: 'match' },
      /eva_vit_g\.pth and clip_vit_L\.pth: say which/,
    ],
    [
      "with ViT-L's positions stretched",
      'pretrained_vitL.pth',
      {
        files: ['clip_vit_L.pth'],
        tokenizer: 'match',
        settings: { vision_heads: 3, qformer_heads: 2, vision_layers: 2, image_size: 28 },
      },
      /stretches ViT-L's positions/,
    ],
  ])('%s, with what to add', async (_name, checkpoint, extras, message) => {
    const folder = await lavisFolder(checkpoint, extras);
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(message);
  });

  it('with a base of another family', async () => {
    const base = join(GOLDEN, 't5/checkpoint');
    const folder = await lavisFolder('caption_opt.pth', { settings: { base, ...HEADS } });
    await expect(ensureBundle(folder, { bundles })).rejects.toThrow(
      /whose language model is t5: the checkpoint is made for opt|lacks/,
    );
  });
});
