/** `lavis.json` beside a checkpoint of LAVIS: what its tensors do not tell. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { count, parseOrThrow } from '../config/schema-helpers.ts';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';

export const LAVIS_SETTINGS = 'lavis.json';

const Settings = z.object({
  /** Folder or hub id that the parts LAVIS froze come from: a BLIP-2 of transformers, or OPT or FlanT5 alone. */
  base: z.optional(z.string()),
  /** Path of LAVIS's `eva_vit_g.pth` or `clip_vit_L.pth`. */
  vision: z.optional(z.string()),
  /** Side of the images, where it is not what the positions were learned for. */
  image_size: z.optional(count),
  vision_layers: z.optional(count),
  vision_heads: z.optional(count),
  qformer_heads: z.optional(count),
  text_heads: z.optional(count),
  /** What ends a text: the token of a line's end for OPT. */
  eos_token_id: z.optional(z.int().check(z.nonnegative())),
});
export type LavisSettings = z.infer<typeof Settings>;

/** @param beside what the file of weights holds beside them: the config of LAVIS's trainer knows the images' size */
export async function readLavisSettings(
  folder: string,
  beside: ReadonlyMap<unknown, unknown>,
): Promise<LavisSettings> {
  const path = join(folder, LAVIS_SETTINGS);
  const json = await readJson(path, {});
  const unknown = Object.keys(json ?? {}).filter((key) => !Object.hasOwn(Settings.shape, key));
  if (unknown.length > 0) {
    throw new CheckpointError(
      `${path}: ${unknown.join(', ')} is none of ${Object.keys(Settings.shape).join(', ')}.`,
    );
  }
  const settings = parseOrThrow(Settings, json, path);
  const config = memberOf(beside, 'config');
  const size = memberOf(memberOf(config, 'model'), 'image_size');
  return count.safeParse(size).success ? { image_size: size as number, ...settings } : settings;
}

function memberOf(value: unknown, name: string): unknown {
  return value instanceof Map ? value.get(name) : undefined;
}
