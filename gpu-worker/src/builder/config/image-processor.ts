/** The image processor's config: `preprocessor_config.json`, or `image_processor` in `processor_config.json`. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { CheckpointError } from '../errors.ts';
import { count, parseOrThrow, withDefault } from './schema-helpers.ts';
import { expectKnownKeys, isSaid, shortly } from './strict-keys.ts';

const PREPROCESSOR = 'preprocessor_config.json';
const PROCESSOR = 'processor_config.json';

const square = z.object({ height: count, width: count });
const edge = z.object({ shortest_edge: count });

/** One value for all channels, or one for each. */
const channels = z.union([z.number(), z.tuple([z.number(), z.number(), z.number()])], {
  error: ({ input }) => `${shortly(input)} is neither a number nor three, one for each channel`,
});

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

const ImageProcessorFile = z.object({
  do_resize: withDefault(z.boolean(), true),
  size: z.optional(
    z.union([count, square, edge], {
      error: ({ input }) =>
        `${shortly(input)} is neither a number, {height, width} nor {shortest_edge}`,
    }),
  ),
  resample,
  do_center_crop: withDefault(z.boolean(), false),
  crop_size: z.optional(z.union([count, square])),
  do_rescale: withDefault(z.boolean(), true),
  rescale_factor: withDefault(z.number().check(z.gt(0)), 1 / 255),
  do_normalize: withDefault(z.boolean(), true),
  image_mean: withDefault(channels, [0.48145466, 0.4578275, 0.40821073]),
  image_std: withDefault(channels, [0.26862954, 0.26130258, 0.27577711]),
  do_convert_rgb: withDefault(z.boolean(), true),
});
export type ImageProcessor = z.infer<typeof ImageProcessorFile>;

/** What sizes may say; a member beside these means another way of resizing. */
const SIZE_KEYS = [['height', 'width'], ['shortest_edge']];

/** Keys that change nothing of an image. */
const IDLE = [
  'processor_class',
  'image_processor_type',
  'feature_extractor_type',
  '_valid_processor_keys',
  '_processor_class',
  'disable_grouping',
  'return_tensors',
  'device',
  'default_to_square',
];

/** Beside the image processor in `processor_config.json`. */
const IDLE_BESIDE = [
  'processor_class',
  'image_processor',
  'tokenizer',
  'qformer_tokenizer',
  'num_query_tokens',
  // What Python writes for an image position: the language model gets the embeddings there, and no token.
  'image_token',
];

/** BLIP's, in its three makes; others have other defaults. */
const TYPES = /^Blip(2)?(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/;

type Members = Record<string, unknown>;
const Members = z.record(z.string(), z.unknown());

/** Config of the image processor, and where it stands; the defaults of BLIP where there is none. */
export async function readImageProcessor(folder: string): Promise<ImageProcessor> {
  const { path, members } = await find(folder);
  return parseOrThrow(ImageProcessorFile, said(members), path);
}

/** Keys that say something; `size: {height: 224, width: 224, longest_edge: null}` says two numbers. */
function said(members: Members): Members {
  const entries = Object.entries(members)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => {
      const inner = key === 'size' || key === 'crop_size' ? Members.safeParse(value) : null;
      return [key, inner?.success ? said(inner.data) : value];
    });
  return Object.fromEntries(entries);
}

type Place = { path: string; at: string; members: Members };

async function find(folder: string): Promise<Place> {
  const { own, joint } = await places(folder);
  return own ?? joint ?? { path: join(folder, PREPROCESSOR), at: '', members: {} };
}

async function places(folder: string): Promise<{ own: Place | null; joint: Place | null }> {
  const path = join(folder, PREPROCESSOR);
  const json = await readJson(path, null);
  const own =
    json === null ? null : { path, at: 'preprocessor_config', members: membersOf(json, path) };
  const jointPath = join(folder, PROCESSOR);
  const processor = membersOf(await readJson(jointPath, {}), jointPath);
  const inner = processor.image_processor;
  if (inner === undefined || inner === null) return { own, joint: null };
  const members = membersOf(inner, jointPath);
  return { own, joint: { path: jointPath, at: 'image_processor', members } };
}

function membersOf(json: unknown, path: string): Members {
  const parsed = Members.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${path}: ${shortly(json)} is no object.`);
}

/**
 * @param numQueryTokens of the model
 * @param ignored paths of keys that someone knows to change nothing, such as `preprocessor_config.note`
 * @throws CheckpointError naming what is unknown, not done here, or said in two ways
 */
export async function expectKnownProcessor(
  folder: string,
  numQueryTokens: number,
  ignored: readonly string[],
): Promise<void> {
  const { own, joint } = await places(folder);
  for (const place of [own, joint]) if (place !== null) expectKnown(place, ignored);
  if (own !== null && joint !== null) expectAgreement(own, joint);
  await expectKnownBeside(folder, numQueryTokens, ignored);
}

/** What this worker does not do, by key. */
const NOT_DONE: Record<string, (value: unknown) => string | null> = {
  do_resize: (value) => (value === false ? 'images would keep their size' : null),
  do_convert_rgb: (value) => (value === false ? 'images are always converted to RGB' : null),
  image_processor_type: (value) => typeReason(value),
  feature_extractor_type: (value) => typeReason(value),
  default_to_square: (value) => (value === false ? 'sizes are those of a square' : null),
  size: sizeReason,
  crop_size: sizeReason,
};

function typeReason(value: unknown): string | null {
  return typeof value === 'string' && !TYPES.test(value) ? "only BLIP's is supported" : null;
}

function sizeReason(value: unknown): string | null {
  const members = Members.safeParse(value);
  if (!members.success) return null;
  const keys = Object.keys(said(members.data)).sort();
  const isKnown = SIZE_KEYS.some((known) => known.join() === keys.join());
  return isKnown ? null : 'neither {height, width} nor {shortest_edge}';
}

function expectKnown({ path, at, members }: Place, ignored: readonly string[]): void {
  const isKnown = (key: string) =>
    Object.hasOwn(ImageProcessorFile.shape, key) || IDLE.includes(key);
  expectKnownKeys(path, [{ at, members: allowing(members), isKnown }], ignored);
  for (const [key, reason] of Object.entries(NOT_DONE)) {
    const why = Object.hasOwn(members, key) ? reason(members[key]) : null;
    const place = `${at}.${key}`;
    if (why === null || ignored.includes(place)) continue;
    throw new CheckpointError(
      `${path}: ${key} = ${shortly(members[key])}: ${why}. If that makes no difference to your images, set BLIP2_IGNORE_CONFIG=${[...ignored, place].join(',')}.`,
    );
  }
}

/** `data_format` of what is returned: the model's own says nothing. */
function allowing(members: Members): Members {
  const { data_format, ...rest } = members;
  return data_format === undefined || data_format === 'channels_first' ? rest : members;
}

/** `transformers` reads one file or the other, by version: what only one of them says counts here and not there. */
function expectAgreement(own: Place, joint: Place): void {
  const [one, other] = [inForce(own), inForce(joint)];
  for (const key of Object.keys(ImageProcessorFile.shape)) {
    if (one[key] === other[key]) continue;
    const [a, b] = [own, joint].map(({ members }) =>
      isSaid(members[key]) || members[key] === false
        ? `${key} = ${shortly(members[key])}`
        : `nothing of ${key}`,
    );
    throw new CheckpointError(
      `${own.path} says ${a}, ${joint.path} says ${b}: remove one of the two.`,
    );
  }
}

/** What a file says, defaults included, by key: each meaning as one text, however it is written. */
function inForce({ path, members }: Place): Record<string, string | undefined> {
  const processor = parseOrThrow(ImageProcessorFile, said(members), path);
  const { size, crop_size, do_center_crop, image_mean, image_std } = processor;
  const sides = (value: typeof crop_size | typeof size) =>
    typeof value === 'number' ? { height: value, width: value } : value;
  const three = (value: typeof image_mean) =>
    typeof value === 'number' ? [value, value, value] : value;
  const written = {
    ...processor,
    size: sides(size),
    crop_size: do_center_crop ? sides(crop_size) : undefined,
    image_mean: three(image_mean),
    image_std: three(image_std),
  };
  return Object.fromEntries(
    Object.entries(written).map(([key, value]) => [key, JSON.stringify(value)]),
  );
}

async function expectKnownBeside(
  folder: string,
  numQueryTokens: number,
  ignored: readonly string[],
): Promise<void> {
  const path = join(folder, PROCESSOR);
  const members = membersOf(await readJson(path, {}), path);
  const isKnown = (key: string) => IDLE_BESIDE.includes(key);
  expectKnownKeys(path, [{ at: 'processor_config', members, isKnown }], ignored);
  const { num_query_tokens } = members;
  if (!isSaid(num_query_tokens) || num_query_tokens === numQueryTokens) return;
  throw new CheckpointError(
    `${path}: num_query_tokens is ${shortly(num_query_tokens)}, in config.json ${numQueryTokens}.`,
  );
}
