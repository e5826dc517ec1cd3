/** What the environment says of building, where the caller does not. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Precision } from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import { CheckpointError } from './errors.ts';

export function defaultBundles(): string {
  return resolve(
    process.env.BLIP2_BUNDLES ?? fileURLToPath(new URL('../../../.bundles', import.meta.url)),
  );
}

export function defaultPrecision(): Precision | 'auto' {
  const value = process.env.BLIP2_PRECISION || 'auto';
  const parsed = z.union([Precision, z.literal('auto')]).safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`BLIP2_PRECISION must be fp32, int8, int4 or auto, not "${value}".`);
}

/** @example BLIP2_IGNORE_CONFIG=text_config.note,origin → ['text_config.note', 'origin'] */
export function defaultIgnoredConfig(): string[] {
  const list = (process.env.BLIP2_IGNORE_CONFIG ?? '').split(',');
  return list.map((path) => path.trim()).filter((path) => path !== '');
}
