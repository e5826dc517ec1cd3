/** Bundles are complete or absent, and a checkpoint that does not fit is refused by name. */
import { spawnSync } from 'node:child_process';
import { cp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildProgress, ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { openImage } from '@blip2/gpu-worker/image/decode';
import { preprocess } from '@blip2/gpu-worker/image/preprocess';
import { beforeEach, describe, expect, it } from 'vitest';
import { readGolden } from '../../tools/eval/goldens.ts';
import { editTensors as editTensorsOf, type Header } from '../support/edit-checkpoint.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testImages } from '../support/test-images.ts';

const BUILDER = new URL('../../gpu-worker/src/builder/index.ts', import.meta.url).href;

const root = temporaryFolder('test');
let bundles: string;
let checkpoint: string;
beforeEach(async () => {
  bundles = join(root, 'bundles');
  checkpoint = join(root, 'half');
  await cp(readGolden('half').checkpoint, checkpoint, { recursive: true });
});

const visible = async () => (await readdir(bundles)).filter((name) => !name.startsWith('.'));

describe('a bundle', () => {
  it('is built once, reports its progress to the end, and lists every file', async () => {
    const reports: BuildProgress[] = [];
    const bundle = await ensureBundle(checkpoint, { bundles, onProgress: (p) => reports.push(p) });
    expect(reports.length).toBeGreaterThan(10);
    expect(reports.at(-1)!.done).toBe(reports.at(-1)!.total);
    expect(reports.map(({ done }) => done)).toEqual(
      reports.map(({ done }) => done).toSorted((a, b) => a - b),
    );
    const manifest = await readManifest(bundle);
    expect([...manifest.files.map(({ path }) => path), 'manifest.json'].sort()).toEqual(
      (await readdir(bundle)).sort(),
    );
    expect(bundle.endsWith(`half-${manifest.revision.slice(0, 12)}`)).toBe(true);

    const again = await ensureBundle(checkpoint, {
      bundles,
      onProgress: () => expect.unreachable('the bundle exists'),
    });
    expect(again).toBe(bundle);
  });

  it('is absent after a build that was killed, and complete after the next one', async () => {
    const script = `import { ensureBundle } from ${JSON.stringify(BUILDER)};
      const onProgress = ({ label }) => label.startsWith('decoder') && process.kill(process.pid, 'SIGKILL');
      await ensureBundle(${JSON.stringify(checkpoint)}, { bundles: ${JSON.stringify(bundles)}, onProgress });`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
    expect(child.signal).toBe('SIGKILL');
    const left = await visible();
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/\.tmp$/);

    const bundle = await ensureBundle(checkpoint, { bundles });
    expect(await visible()).toEqual([bundle.slice(bundles.length + 1)]);
  });

  it('is built again when a file is cut off, and when the checkpoint gets another tokenizer', async () => {
    const bundle = await ensureBundle(checkpoint, { bundles });
    const whole = (await readManifest(bundle)).files;
    await truncate(join(bundle, 'decoder.bin'), 100);
    expect(await ensureBundle(checkpoint, { bundles })).toBe(bundle);
    expect((await readFile(join(bundle, 'decoder.bin'))).length).toBe(
      whole.find(({ path }) => path === 'decoder.bin')!.bytes,
    );

    const tokenizer = join(checkpoint, 'tokenizer.json');
    await writeFile(tokenizer, `${await readFile(tokenizer, 'utf8')}\n`);
    expect(await ensureBundle(checkpoint, { bundles })).toBe(bundle);
    expect(await readFile(join(bundle, 'tokenizer.json'), 'utf8')).toMatch(/\n$/);
  });

  it('is complete when two builds run at the same time', async () => {
    const both = await Promise.all([
      ensureBundle(checkpoint, { bundles }),
      ensureBundle(checkpoint, { bundles }),
    ]);
    expect(both[0]).toBe(both[1]);
    expect(await visible()).toHaveLength(1);
    expect((await readManifest(both[0])).files.length).toBeGreaterThan(6);
  });

  it('is the same when a tied checkpoint stores its embedding under the name of the head', async () => {
    const digest = async (bundle: string) =>
      (await readManifest(bundle)).files.find(({ path }) => path === 'decoder.bin')!.sha256;
    const usual = await digest(await ensureBundle(checkpoint, { bundles }));
    await editTensors((header) => {
      const name = 'language_model.model.decoder.embed_tokens.weight';
      header['language_model.lm_head.weight'] = header[name]!;
      delete header[name];
    });
    expect(await digest(await ensureBundle(checkpoint, { bundles }))).toBe(usual);
  });

  it.each([
    [1, 'lanczos'],
    [2, 'bilinear'],
    [3, 'bicubic'],
    [4, 'box'],
    [5, 'hamming'],
  ])(
    'of a processor with resampling %i resizes images with the filter %s',
    async (resample, filter) => {
      await imageProcessor({ resample });
      const { image } = await readManifest(await ensureBundle(checkpoint, { bundles }));
      expect(image.resample).toBe(filter);
      const [scene] = await testImages(1);
      const opened = await openImage(scene!.bytes, { maxBytes: 1e6, maxPixels: 1e6 });
      const pixels = await preprocess(opened.pixels, image);
      expect(pixels).toHaveLength(3 * image.size ** 2);
      expect(pixels.every(Number.isFinite)).toBe(true);
    },
  );

  it('has another revision as soon as one weight or one config value differs', async () => {
    const { revision } = await readManifest(await ensureBundle(checkpoint, { bundles }));
    const weights = join(checkpoint, 'model.safetensors');
    const bytes = await readFile(weights);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(weights, bytes);
    await utimes(weights, 1, 1);
    const other = await readManifest(await ensureBundle(checkpoint, { bundles }));
    expect(other.revision).not.toBe(revision);
  });
});

type Config = {
  vision_config: Record<string, unknown>;
  text_config: Record<string, unknown>;
  qformer_config: Record<string, unknown>;
  architectures: string[];
};

/** Replaces the one file of weights. */
async function shardIndex(text: string): Promise<void> {
  await rm(join(checkpoint, 'model.safetensors'));
  await writeFile(join(checkpoint, 'model.safetensors.index.json'), text);
}

const editTensors = (edit: (header: Header) => void) => editTensorsOf(checkpoint, edit);

function imageProcessor(members: Record<string, unknown>): Promise<void> {
  return writeFile(join(checkpoint, 'preprocessor_config.json'), JSON.stringify(members));
}

async function editConfig(edit: (config: Config) => void): Promise<void> {
  const path = join(checkpoint, 'config.json');
  const config = JSON.parse(await readFile(path, 'utf8'));
  edit(config);
  await writeFile(path, JSON.stringify(config));
}

const FC1 = 'language_model.model.decoder.layers.1.fc1.weight';

describe('a checkpoint is refused', () => {
  it.each<[string, () => Promise<void>, RegExp]>([
    ['without a tensor', () => editTensors((h) => void delete h[FC1]), new RegExp(`lacks.*${FC1}`)],
    [
      'with a tensor of another shape',
      () => editTensors((h) => void h[FC1]!.shape.reverse()),
      new RegExp(`"${FC1}" has the shape \\[64,96\\], the config asks for \\[96,64\\]`),
    ],
    [
      'with an unknown tensor',
      () => editTensors((h) => void Object.assign(h, { extra: h[FC1] })),
      /does not know: extra/,
    ],
    [
      'with an unknown config key',
      () => editConfig(({ text_config }) => void Object.assign(text_config, { alibi: true })),
      /config\.json: the builder does not know text_config\.alibi = true/,
    ],
    [
      'with weights of an unknown type',
      () => editTensors((h) => void Object.assign(h[FC1]!, { dtype: 'F8_E4M3' })),
      new RegExp(`"${FC1}" has the unsupported type F8_E4M3`),
    ],
    [
      'with an unknown activation',
      () => editConfig((c) => void Object.assign(c.vision_config, { hidden_act: 'silu' })),
      /vision_config\.hidden_act/,
    ],
    [
      'with a decoder of another family',
      () => editConfig((c) => void Object.assign(c.text_config, { model_type: 'llama' })),
      /text_config\.model_type/,
    ],
    [
      'with post-norm blocks',
      () => editConfig((c) => void Object.assign(c.text_config, { do_layer_norm_before: false })),
      /do_layer_norm_before/,
    ],
    [
      'with projected word embeddings',
      () => editConfig((c) => void Object.assign(c.text_config, { word_embed_proj_dim: 32 })),
      /word_embed_proj_dim 32/,
    ],
    [
      'with another architecture',
      () => editConfig((c) => void Object.assign(c, { architectures: ['LlavaModel'] })),
      /LlavaModel is not supported/,
    ],
    [
      'with relative positions in the Q-Former',
      () =>
        editConfig(
          (c) => void Object.assign(c.qformer_config, { position_embedding_type: 'relative_key' }),
        ),
      /position_embedding_type/,
    ],
    [
      'with an end of text beyond the vocabulary',
      () => editConfig((c) => void Object.assign(c.text_config, { eos_token_id: 100_000 })),
      /eos_token_id 100000 is none of/,
    ],
    ['with a damaged index of shards', () => shardIndex('{'), /index\.json is not JSON/],
    [
      'without one of its shards',
      () => shardIndex(JSON.stringify({ weight_map: { query_tokens: 'model-7.safetensors' } })),
      /lacks the shard model-7\.safetensors/,
    ],
    [
      'with nearest-neighbor resampling',
      () => imageProcessor({ resample: 0 }),
      /preprocessor_config\.json: .*resampling 0 \(nearest\) is not supported; 1 \(lanczos\), /,
    ],
    [
      'with an unknown resampling',
      () => imageProcessor({ resample: 6 }),
      /resampling 6 is not supported/,
    ],
    ['without a tokenizer', () => rm(join(checkpoint, 'tokenizer.json')), /lacks tokenizer\.json/],
    ['without weights', () => rm(join(checkpoint, 'model.safetensors')), /neither model\.safet/],
    [
      'with weights that are cut off',
      () => truncate(join(checkpoint, 'model.safetensors'), 100_000),
      /cut off/,
    ],
  ])('%s, and no file of a bundle remains', async (_, edit, message) => {
    await edit();
    await expect(ensureBundle(checkpoint, { bundles })).rejects.toThrow(message);
    expect(await visible().catch(() => [])).toEqual([]);
  });
});
