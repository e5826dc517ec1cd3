/** The members of a request as text, in path, query, header or form, from the schemas that check them. */
import type * as z from 'zod/mini';
import type { Route } from '../route.ts';
import { type Defaults, type JsonSchema, jsonSchema } from './schemas.ts';

/** A member as text. */
export type TextField = {
  name: string;
  schema: JsonSchema;
  isRequired: boolean;
  /** Whether the text is JSON. */
  isJson: boolean;
};

/** The members of an object. @param object none has no members */
export function textFields(object: z.ZodMiniObject | undefined, defaults: Defaults): TextField[] {
  if (object === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(object, defaults);
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    schema: asText(schema),
    isRequired: required.includes(name),
    isJson: isJson(schema),
  }));
}

/** A list of texts is a name that is repeated; of anything else, and objects, JSON. */
function isJson({ type, items }: JsonSchema): boolean {
  return type === 'object' || (type === 'array' && (items as JsonSchema).type !== 'string');
}

/** Where one may stand for several, there are always several: as text it is the same. */
function asText(schema: JsonSchema): JsonSchema {
  const { anyOf, examples, ...rest } = schema as JsonSchema & {
    anyOf?: JsonSchema[];
    examples?: unknown[];
  };
  const several = anyOf?.find(({ type }) => type === 'array');
  if (several === undefined) return schema;
  return {
    ...several,
    ...rest,
    ...(examples && { examples: examples.map((one) => [one].flat()) }),
  };
}

/** The parameters of an operation. */
export function parametersOf({ parameters, request }: Route, defaults: Defaults): object[] {
  return [
    ...textFields(parameters.path, defaults).map((field) => parameter('path', field)),
    ...textFields(parameters.query, defaults).map((field) => parameter('query', field)),
    ...textFields(
      request && 'json' in request && 'fields' in request ? request.fields : undefined,
      defaults,
    ).map((field) => parameter('query', ofRawBody(field))),
    ...textFields(parameters.header, defaults).map((field) => parameter('header', field)),
  ];
}

/** A member that the other forms of a request have in their body: there it is not required in the query. */
function ofRawBody(field: TextField): TextField {
  const { isRequired, schema } = field;
  if (!isRequired) return field;
  const description = `${schema.description} Required where the body is the image itself.`;
  return { ...field, isRequired: false, schema: { ...schema, description } };
}

function parameter(where: 'path' | 'query' | 'header', field: TextField): object {
  const { name, schema, isRequired, isJson } = field;
  const { description, examples, ...json } = schema as JsonSchema & { examples?: unknown[] };
  const [example] = examples ?? [];
  return {
    name,
    in: where,
    description: isJson ? `${description} As JSON.` : description,
    ...(isRequired && { required: true }),
    ...(isJson
      ? { content: { 'application/json': { schema: json, ...exampleOf(example) } } }
      : { schema: json, ...exampleOf(example) }),
  };
}

function exampleOf(example: unknown): object {
  return example === undefined ? {} : { example };
}
