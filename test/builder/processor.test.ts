/** What a processor's config says of images is done as transformers does it, or stops the build by name. */
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readAll } from '@blip2/gpu-worker/builder/checkpoint/tensor-source';
import { openSafetensors } from '@blip2/gpu-worker/builder/checkpoint/weight-files';
import { ensureBundle, readManifest } from '@blip2/gpu-worker/builder/index';
import { openImage } from '@blip2/gpu-worker/image/decode';
import { preprocess } from '@blip2/gpu-worker/image/preprocess';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRetrievalGolden } from '../../tools/eval/goldens.ts';
import { maxDifference } from '../support/difference.ts';

const GOLDEN = fileURLToPath(new URL('../parity/golden/', import.meta.url));
/** Written by golden/make/processors.py. */
const CONFIGS: Record<string, Record<string, unknown>> = JSON.parse(
  readFileSync(join(GOLDEN, 'processor/configs.json'), 'utf8'),
);
const NORMAL = { size: { height: 14, width: 14 }, resample: 3 };

let root: string;
let bundles: string;
let checkpoint: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-processor-'));
  bundles = join(root, 'bundles');
  checkpoint = join(root, 'match');
  await cp(readRetrievalGolden('match').checkpoint, checkpoint, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const write = (file: string, content: unknown) =>
  writeFile(join(checkpoint, file), JSON.stringify(content));
const build = (ignoredKeys: string[] = []) => ensureBundle(checkpoint, { bundles, ignoredKeys });
const imageOf = async (bundle: string) => (await readManifest(bundle)).image;

describe('a processor', () => {
  it.each(Object.keys(CONFIGS))('%s makes of images what transformers makes', async (name) => {
    await write('preprocessor_config.json', CONFIGS[name]);
    const spec = await imageOf(await build());
    expect(spec.size).toBe(14);
    const expected = await openSafetensors(join(GOLDEN, 'processor/expected.safetensors'));
    for (const image of ['down', 'up', 'tall']) {
      const bytes = await readFile(join(GOLDEN, `preprocess/${image}.png`));
      const opened = await openImage(bytes, { maxBytes: 1e6, maxPixels: 1e6 });
      const values = await preprocess(opened.pixels, spec);
      const wanted = await readAll(expected.get(`${name}/${image}`)!);
      const largest = Math.max(1, ...wanted.map(Math.abs));
      expect(maxDifference(values, wanted) / largest, image).toBeLessThan(1e-6);
    }
  });

  it('may stand in processor_config.json, and in both files if they agree', async () => {
    await rm(join(checkpoint, 'preprocessor_config.json'));
    await write('processor_config.json', {
      processor_class: 'Blip2Processor',
      num_query_tokens: 7,
      image_processor: { ...NORMAL, image_processor_type: 'BlipImageProcessor' },
    });
    expect((await imageOf(await build())).size).toBe(14);
    await write('preprocessor_config.json', { ...NORMAL, size: { width: 14, height: 14 } });
    expect((await imageOf(await build())).size).toBe(14);
  });

  it('agrees with another that says the same in other words', async () => {
    const thirds = { image_mean: [0.5, 0.5, 0.5], image_std: [0.25, 0.25, 0.25] };
    await write('preprocessor_config.json', { size: 14, image_mean: 0.5, image_std: 0.25 });
    await write('processor_config.json', {
      image_processor: { ...NORMAL, ...thirds, do_resize: true, crop_size: 99 },
    });
    expect(await imageOf(await build())).toMatchObject({ size: 14, mean: thirds.image_mean });
  });

  it('is that of transformers as it writes it, older makes included', async () => {
    for (const image_processor_type of [
      'BlipImageProcessor',
      'BlipImageProcessorFast',
      'BlipImageProcessorPil',
    ]) {
      await write('preprocessor_config.json', {
        ...NORMAL,
        image_processor_type,
        crop_size: null,
        data_format: 'channels_first',
        default_to_square: true,
        device: null,
        disable_grouping: null,
        do_center_crop: null,
        do_convert_rgb: true,
        do_normalize: true,
        do_rescale: true,
        do_resize: true,
        image_mean: [0.48145466, 0.4578275, 0.40821073],
        image_std: [0.26862954, 0.26130258, 0.27577711],
        input_data_format: null,
        processor_class: 'Blip2Processor',
        rescale_factor: 0.00392156862745098,
        return_tensors: null,
      });
      expect(await imageOf(await build())).toEqual({
        size: 14,
        patch: 7,
        mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.26130258, 0.27577711],
        resample: 'bicubic',
      });
    }
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['that keeps sizes', { do_resize: false }, /do_resize = false: images would keep their size/],
    [
      'that keeps colors',
      { do_convert_rgb: false },
      /do_convert_rgb = false: .*set BLIP2_IGNORE_CONFIG=preprocessor_config\.do_convert_rgb/,
    ],
    ['of nearest neighbors', { resample: 0 }, /resampling 0 \(nearest\) is not supported/],
    ['of an unknown filter', { resample: 6 }, /resample/],
    [
      'of the shorter side alone',
      { size: { shortest_edge: 14 } },
      /shorter side 14 pixels and cuts nothing/,
    ],
    ['of the longer side', { size: { longest_edge: 14 } }, /size = {"longest_edge":14}: neither/],
    ['of both sides', { size: { shortest_edge: 14, longest_edge: 28 } }, /size = .*: neither/],
    ['of oblong images', { size: { height: 14, width: 21 } }, /14 × 21 pixels: not a square/],
    [
      'that cuts more than there is',
      { do_center_crop: true, crop_size: { height: 21, width: 21 } },
      /cuts 21 × 21 pixels out of 14 × 14/,
    ],
    [
      'that cuts oblongs',
      { size: { shortest_edge: 28 }, do_center_crop: true, crop_size: { height: 14, width: 21 } },
      /14 × 21 pixels: not a square/,
    ],
    ['that pads', { do_pad: true }, /know preprocessor_config\.do_pad = true/],
    [
      'that flips',
      { do_flip_channel_order: true },
      /know preprocessor_config\.do_flip_channel_order/,
    ],
    [
      'of two means',
      { image_mean: [0.5, 0.5] },
      /image_mean = .*\[0\.5,0\.5\] is neither a number nor three/,
    ],
    ['of four deviations', { image_std: [1, 1, 1, 1] }, /image_std = .*neither a number nor three/],
    ['of no deviation', { image_std: [0.2, 0, 0.2] }, /image_std \[0\.2,0,0\.2\] is not above 0/],
    ['of no scale', { rescale_factor: 0 }, /rescale_factor = 0: .*>0/],
    ['that says neither yes nor no', { do_rescale: 'false' }, /do_rescale = "false": .*boolean/],
    [
      'of another kind',
      { image_processor_type: 'CLIPImageProcessor' },
      /image_processor_type = "CLIPImageProcessor": only BLIP's/,
    ],
    [
      'of older another kind',
      { feature_extractor_type: 'ViTFeatureExtractor' },
      /only BLIP's is supported/,
    ],
    [
      'of its own code',
      { auto_map: { AutoImageProcessor: 'x.Y' } },
      /know preprocessor_config\.auto_map/,
    ],
    [
      'of channels behind',
      { data_format: 'channels_last' },
      /know preprocessor_config\.data_format/,
    ],
    ['with a key nobody knows', { sharpen: 0.5 }, /know preprocessor_config\.sharpen = 0\.5/],
  ])('%s is refused by name', async (_name, change, message) => {
    await write('preprocessor_config.json', { ...NORMAL, ...change });
    await expect(build()).rejects.toThrow(message);
  });

  it('may hold a key that BLIP2_IGNORE_CONFIG names', async () => {
    await write('preprocessor_config.json', { ...NORMAL, sharpen: 1, do_convert_rgb: false });
    await build(['preprocessor_config.sharpen', 'preprocessor_config.do_convert_rgb']);
  });

  it.each<[string, unknown, RegExp]>([
    [
      'another size',
      { image_processor: { size: { height: 21, width: 21 } } },
      /preprocessor_config\.json says size = .*processor_config\.json says size = {"height":21.*remove one/,
    ],
    [
      'a filter that the other does not say',
      { image_processor: { ...NORMAL, resample: 2 } },
      /says resample = 3, .* says resample = 2/,
    ],
    [
      'a cut that the other does not say',
      { image_processor: { ...NORMAL, do_center_crop: true, crop_size: 7 } },
      /says nothing of do_center_crop, .* says do_center_crop = true/,
    ],
    [
      'nothing of the size that the other says',
      { image_processor: { resample: 3 } },
      /says size = .* says nothing of size/,
    ],
    ['other query tokens', { num_query_tokens: 9 }, /num_query_tokens is 9, in config\.json 7/],
    ['a key nobody knows', { image_tokens: 'x' }, /know processor_config\.image_tokens/],
    [
      'a key nobody knows within',
      { image_processor: { sharpen: 1 } },
      /know image_processor\.sharpen/,
    ],
    ['no object', [1], /\[1\] is no object/],
  ])('beside processor_config.json with %s is refused', async (_name, processor, message) => {
    await write('preprocessor_config.json', NORMAL);
    await write('processor_config.json', processor);
    await expect(build()).rejects.toThrow(message);
  });

  it('makes other embeddings when it cuts', async () => {
    const of = async (config: unknown) => {
      await write('preprocessor_config.json', config);
      return (await readManifest(await build())).preprocessing;
    };
    const crop = { ...NORMAL, size: { shortest_edge: 18 }, do_center_crop: true, crop_size: 14 };
    expect(await of(NORMAL)).not.toBe(await of(crop));
  });
});
