/** Kinds of fields that configs are made of. */
import * as z from 'zod/mini';

export const count = z.int().check(z.positive());

export const withDefault = <T extends z.ZodMiniType>(schema: T, value: z.input<T>) =>
  z._default(schema, value as never);
