/** What config schemas are made of. */
import * as z from 'zod/mini';
import { CheckpointError } from '../errors.ts';

/** A size or a number of things, at least 1. */
export const count = z.int().check(z.positive());

/** A member that configs leave out where it has transformers' default. */
export const withDefault = <T extends z.ZodMiniType>(schema: T, value: z.input<T>) =>
  z._default(schema, value as never);

/** @throws CheckpointError naming the file, and each member that does not fit */
export function parseOrThrow<T extends z.ZodMiniType>(
  schema: T,
  json: unknown,
  path: string,
): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new CheckpointError(`${path}: ${z.prettifyError(result.error)}`);
}
