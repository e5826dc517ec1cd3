/** The config of a checkpoint's image processor, as far as preprocessing depends on it. Defaults are those of BLIP. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { count, parseOrThrow, withDefault } from './schema-helpers.ts';

/** Pixels; a number is the side of a square. */
const size = z.union([z.object({ height: count, width: count }), count]);
const channels = z.tuple([z.number(), z.number(), z.number()]);

/** Pillow's numbers of the filters that images are resized with. Its 0, nearest, filters nothing and is not implemented. */
const RESAMPLING_FILTERS = {
  1: 'lanczos',
  2: 'bilinear',
  3: 'bicubic',
  4: 'box',
  5: 'hamming',
} as const;
type ResamplingFilter = (typeof RESAMPLING_FILTERS)[keyof typeof RESAMPLING_FILTERS];

const resample = z.pipe(
  withDefault(z.int(), 3),
  z.transform((number, { issues }): ResamplingFilter => {
    const filter = Object.entries(RESAMPLING_FILTERS).find(([known]) => known === String(number));
    if (filter !== undefined) return filter[1];
    const known = Object.entries(RESAMPLING_FILTERS).map(([key, name]) => `${key} (${name})`);
    const message = `resampling ${number === 0 ? '0 (nearest)' : number} is not supported; ${known.join(', ')} are`;
    issues.push({ code: 'custom', message, input: number });
    return z.NEVER;
  }),
);

const ImageProcessor = z.object({
  image_mean: withDefault(channels, [0.48145466, 0.4578275, 0.40821073]),
  image_std: withDefault(channels, [0.26862954, 0.26130258, 0.27577711]),
  resample,
  rescale_factor: withDefault(z.number().check(z.gt(0.00392), z.lt(0.00393)), 1 / 255),
  do_resize: withDefault(z.literal(true), true),
  do_rescale: withDefault(z.literal(true), true),
  do_normalize: withDefault(z.literal(true), true),
  size: z.optional(size),
});
export type ImageProcessor = z.infer<typeof ImageProcessor>;

/** `preprocessor_config.json`, or `image_processor` in `processor_config.json`, or the defaults of BLIP. */
export async function readImageProcessor(folder: string): Promise<ImageProcessor> {
  const path = join(folder, 'preprocessor_config.json');
  const own = await readJson(path, null);
  if (own !== null) return parseOrThrow(ImageProcessor, own, path);
  const joint = join(folder, 'processor_config.json');
  const processor = parseOrThrow(
    z.object({ image_processor: withDefault(z.unknown(), {}) }),
    await readJson(joint, {}),
    joint,
  );
  return parseOrThrow(ImageProcessor, processor.image_processor, joint);
}
