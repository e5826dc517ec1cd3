/** Gives schemas the words and examples by which the OpenAPI document explains them. */
import * as z from 'zod/mini';

/** A description in Markdown, and examples of values. */
type Words<Schema extends z.core.$ZodType> =
  | string
  | readonly [description: string, ...examples: Exclude<z.input<Schema>, undefined>[]];

/**
 * @returns the same schema: where several members share one, they share its description
 * @example described(z.int().check(z.positive()), 'Width in pixels.', 384)
 */
export function described<Schema extends z.core.$ZodType>(
  schema: Schema,
  description: string,
  ...examples: Exclude<z.input<Schema>, undefined>[]
): Schema {
  const known = z.globalRegistry.get(schema);
  z.globalRegistry.add(schema, {
    ...known,
    description,
    ...(examples.length > 0 && { examples }),
  });
  return schema;
}

/**
 * Describes every member of a shape that another module declares; the compiler asks for those that are missing.
 * @example z.object(describedMembers(ImageInfo.shape, { width: ['Width in pixels.', 384], … }))
 */
export function describedMembers<Shape extends Record<string, z.core.$ZodType>>(
  shape: Shape,
  words: { [Name in keyof Shape]: Words<Shape[Name]> },
): Shape {
  for (const [name, schema] of Object.entries(shape)) {
    const said: Words<z.core.$ZodType> = words[name as keyof Shape];
    const [description, ...examples] = typeof said === 'string' ? [said] : said;
    described(schema, description, ...examples);
  }
  return shape;
}
