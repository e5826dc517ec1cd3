/** What config schemas are made of. */
import * as z from 'zod/mini';
import { CheckpointError } from '../errors.ts';
import { shortly } from './strict-keys.ts';

/** A size or a number of things, at least 1; what is sized by it is allocated before a tensor contradicts. */
export const count = z.int().check(z.positive(), z.maximum(10_000_000));

/** How often a layer is repeated: a graph is made of so many, and none that was published has more than a hundred. */
export const layerCount = z.int().check(z.positive(), z.maximum(1000));

/** A member that configs leave out where it has transformers' default. */
export const withDefault = <T extends z.ZodMiniType>(schema: T, value: z.input<T>) =>
  z._default(schema, value as never);

/** A file may be wrong in every member. */
const MAX_FAULTS = 20;

/** @throws CheckpointError naming the file, and each member that does not fit */
export function parseOrThrow<T extends z.ZodMiniType>(
  schema: T,
  json: unknown,
  path: string,
): z.infer<T> {
  const result = schema.safeParse(json, { error: z.locales.en().localeError });
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, MAX_FAULTS).map(({ path: keys, message }) => {
    const value = keys.reduce<unknown>((inner, key) => memberOf(inner, key), json);
    const shown = value === undefined ? 'is missing' : `= ${shortly(value)}`;
    return keys.length === 0 ? message : `${keys.join('.')} ${shown}: ${message}`;
  });
  throw new CheckpointError(`${path}: ${faults.join('; ')}`);
}

function memberOf(value: unknown, key: PropertyKey): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
}
