/** Values that a JSON Schema allows, its limits and examples more often than others. */
import * as fc from 'fast-check';
import type { JsonSchema } from '../http/described.ts';

const DEEPEST = 6;

/** @param schemas those that `$ref` names */
export function valuesOf(
  schema: JsonSchema,
  schemas: Readonly<Record<string, JsonSchema>>,
  depth = 0,
): fc.Arbitrary<unknown> {
  const inner = (other: unknown) => valuesOf(other as JsonSchema, schemas, depth + 1);
  const { $ref, type, examples, enum: words, const: only, default: usual } = schema;
  if (typeof $ref === 'string') return inner(schemas[$ref.replace(/^.*\//, '')] ?? {});
  if (only !== undefined) return fc.constant(only);
  if (Array.isArray(words)) return fc.constantFrom(...(words as unknown[]));
  const either = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(either)) return fc.oneof(...either.map(inner));
  if (Array.isArray(schema.allOf)) {
    return fc.tuple(...schema.allOf.map(inner)).map((parts) => Object.assign({}, ...parts));
  }
  const known = [...(Array.isArray(examples) ? examples : []), usual].filter(
    (x) => x !== undefined,
  );
  const made = madeOf(schema, Array.isArray(type) ? type[0] : type, inner, depth);
  return known.length === 0 ? made : fc.oneof(fc.constantFrom(...known), made);
}

function madeOf(
  schema: JsonSchema,
  type: unknown,
  inner: (schema: unknown) => fc.Arbitrary<unknown>,
  depth: number,
): fc.Arbitrary<unknown> {
  switch (type) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
    case 'number':
      return numberOf(schema, type === 'integer');
    case 'array': {
      const maxLength = Math.min(Number(schema.maxItems ?? 4), 4);
      const minLength = Math.min(Number(schema.minItems ?? 0), maxLength);
      return fc.array(inner(schema.items ?? {}), { minLength, maxLength });
    }
    case 'object': {
      const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>);
      const required = new Set(Array.isArray(schema.required) ? (schema.required as string[]) : []);
      if (depth > DEEPEST) return fc.constant({});
      const members = properties.map(([name, property]) => [name, inner(property)] as const);
      // Most requests leave most members out.
      const absent = (name: string) => (required.has(name) ? 0 : depth > 0 ? 1 : 5);
      return fc
        .tuple(
          ...members.map(([name, value]) =>
            fc.oneof(
              { weight: 1, arbitrary: value },
              { weight: absent(name), arbitrary: fc.constant(undefined) },
            ),
          ),
        )
        .map((values) =>
          Object.fromEntries(
            members.flatMap(([name], i) => (values[i] === undefined ? [] : [[name, values[i]]])),
          ),
        );
    }
    case 'null':
      return fc.constant(null);
    case 'string':
      return fc.oneof(
        fc.constantFrom('a', 'what is in the image?', 'a dog', 'x y'),
        fc.string({ maxLength: 12 }),
      );
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function numberOf(schema: JsonSchema, isInteger: boolean): fc.Arbitrary<number> {
  const min = Number(schema.minimum ?? schema.exclusiveMinimum ?? -10);
  const max = Number(schema.maximum ?? schema.exclusiveMaximum ?? 10);
  const low = schema.exclusiveMinimum === undefined ? min : min + (isInteger ? 1 : 1e-3);
  if (isInteger)
    return fc.oneof(
      fc.constantFrom(low, max),
      fc.integer({ min: low, max: Math.min(max, low + 5) }),
    );
  // Of a range without its end the number beside it, too.
  const least =
    low === min ? low : min + Math.max(Number.MIN_VALUE, Math.abs(min) * Number.EPSILON);
  return fc.oneof(fc.constantFrom(least, low, max), fc.double({ min: low, max, noNaN: true }));
}
