/** What a schema of requests accepts, asked of the schema itself: so no list of fields stands beside it. */
import type * as z from 'zod/mini';

type Schema = z.core.$ZodType;

/** The alternatives of a schema, without what makes it optional. */
export function alternatives(schema: Schema): Schema[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
      return alternatives(def.innerType);
    case 'union':
      return def.options.flatMap(alternatives);
    default:
      return [schema];
  }
}

/** JSON's name of what one alternative accepts; undefined where it is none of these. */
export function kindOf(
  schema: Schema,
): 'string' | 'number' | 'boolean' | 'array' | 'object' | undefined {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'array':
    case 'object':
      return def.type;
    case 'enum':
      return 'string';
    case 'literal':
      return typeof def.values[0] === 'string' ? 'string' : undefined;
    default:
      return undefined;
  }
}

/** The schema of a list's entries, where it accepts a list. */
export function elementOf(schema: Schema): Schema | undefined {
  for (const alternative of alternatives(schema)) {
    const { def } = (alternative as z.core.$ZodTypes)._zod;
    if (def.type === 'array') return def.element;
  }
  return undefined;
}

/** The schemas of an object's members by name; empty where it accepts no object. */
export function membersOf(schema: Schema): Readonly<Record<string, Schema>> {
  for (const alternative of alternatives(schema)) {
    const { def } = (alternative as z.core.$ZodTypes)._zod;
    if (def.type === 'object') return def.shape;
  }
  return {};
}

/** @returns the member, not what every object has */
export function memberOf(schema: Schema, name: string): Schema | undefined {
  const members = membersOf(schema);
  return Object.hasOwn(members, name) ? members[name] : undefined;
}

/** The schema at a path of names and indices, as far as there is one. */
export function schemaAt(schema: Schema, path: readonly PropertyKey[]): Schema | undefined {
  return path.reduce<Schema | undefined>((at, key) => {
    if (at === undefined) return undefined;
    return typeof key === 'number' ? elementOf(at) : memberOf(at, String(key));
  }, schema);
}
