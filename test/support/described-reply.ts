/** Whether a reply is what the OpenAPI document says: status, headers, media type, and every member of its body or events. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { createParser } from 'eventsource-parser';

type Schema = Record<string, unknown>;
type Media = { schema: Schema };
type Described = { headers?: Record<string, object>; content?: Record<string, Media> };
type Operation = {
  operationId: string;
  responses: Record<string, Described>;
};
export type ApiDocument = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; headers: Record<string, { schema: Schema }> };
};

/** A reply as it came over the socket; one that was left early has not all of its body. */
export type Reply = {
  method: string;
  path: string;
  status: number;
  headers: Headers;
  body: string;
  isWhole: boolean;
};

/** Reads replies by one document. @example readerOf(document)(reply) // [] where all is described */
export function readerOf(document: ApiDocument): (reply: Reply) => string[] {
  const validate = validatorOf(document);
  return (reply) => {
    const { method, path, status, headers } = reply;
    const what = `${method} ${path}: ${status}`;
    if (method === 'OPTIONS') return [];
    const found: string[] = [];
    if (!headers.has('x-request-id')) found.push(`${what} has no x-request-id`);
    if (headers.get('access-control-allow-origin') !== '*') {
      found.push(`${what} is for no page of another origin`);
    }
    const operations = operationsAt(document, path);
    if (operations === undefined)
      return status === 404 ? found : [...found, `${what}: no such path`];
    const name = method === 'HEAD' ? 'get' : method.toLowerCase();
    // Another method is answered as every operation of the path says.
    const { responses } = operations[name] ?? Object.values(operations)[0]!;
    const described = responses[status];
    if (described === undefined)
      return [...found, `${what} is not described: ${reply.body.slice(0, 300)}`];
    found.push(
      ...headerProblems(document, validate, described, headers).map((one) => `${what}: ${one}`),
    );
    const type = headers.get('content-type')?.split(';')[0];
    if (type === undefined || status === 304) return found;
    const media = described.content?.[type];
    if (media === undefined) return [...found, `${what} as ${type} is not described`];
    if (method === 'HEAD') return found;
    const { schema } = media;
    for (const problem of bodyProblems(validate, type, schema, reply)) {
      found.push(`${what} as ${type}: ${problem}`);
    }
    return found;
  };
}

function operationsAt({ paths }: ApiDocument, path: string): Record<string, Operation> | undefined {
  if (paths[path] !== undefined) return paths[path];
  // Ids have slashes. Of several the longest is meant.
  const templates = Object.keys(paths).filter((template) =>
    new RegExp(
      `^${template.replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'id' ? '.+' : '[^/]+'))}$`,
    ).test(path),
  );
  const longest = templates.sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? undefined : paths[longest];
}

type Validate = (schema: Schema, value: unknown) => string | null;

function validatorOf({ components }: ApiDocument): Validate {
  // A member that is not described is an error here, while the document lets later versions add some.
  const schemas = Object.fromEntries(
    Object.entries(components.schemas).map(([name, schema]) => [name, close(schema)]),
  );
  const ajv = new Ajv2020({ strict: false, logger: false });
  formats.default(ajv);
  const compiled = new WeakMap<Schema, ValidateFunction>();
  return (schema, value) => {
    const check = compiled.get(schema) ?? ajv.compile({ ...schema, components: { schemas } });
    compiled.set(schema, check);
    return check(value) ? null : ajv.errorsText(check.errors);
  };
}

function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([k, inner]) => [k, close(inner)]));
  return 'properties' in value && value.properties !== undefined && 'type' in value
    ? { additionalProperties: false, ...members }
    : members;
}

function headerProblems(
  { components }: ApiDocument,
  validate: Validate,
  described: Described,
  headers: Headers,
): string[] {
  return Object.entries(components.headers).flatMap(([name, { schema }]) => {
    const value = headers.get(name);
    if (value === null) return [];
    if (described.headers?.[name] === undefined) return [`the header ${name} is not described`];
    const isNumber = schema.type === 'integer' || schema.type === 'number';
    const problem = validate(schema, isNumber ? Number(value) : value);
    return problem === null ? [] : [`the header ${name} is ${value}: ${problem}`];
  });
}

function bodyProblems(
  validate: Validate,
  type: string,
  schema: Schema,
  { body, isWhole }: Reply,
): string[] {
  const items = (schema.contentSchema as { items?: Schema } | undefined)?.items;
  if (items !== undefined) {
    const readings = type === 'text/event-stream' ? eventsOf(body) : linesOf(body, isWhole);
    return readings.flatMap((values) => {
      const problems = values.map((value) => validate(items, value));
      return problems.includes(null) ? [] : [`${JSON.stringify(values[0])}: ${problems[0]}`];
    });
  }
  if (!/[/+]json$/.test(type) || !isWhole) return [];
  const problem = validate(schema, JSON.parse(body));
  return problem === null ? [] : [`${problem} in ${body.slice(0, 300)}`];
}

/** Each event in the forms that a schema may describe: with its name or its data alone, which may be JSON. */
function eventsOf(body: string): unknown[][] {
  const events: unknown[][] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      const value = jsonOf(data);
      const named = { ...(id !== undefined && { id }), ...(event !== undefined && { event }) };
      events.push([
        value,
        { ...named, data: value },
        { event, data: value },
        { ...named, data },
        data,
      ]);
    },
  });
  parser.feed(body);
  return events;
}

/** Lines of JSON; the last of a reply that was left may be half a line. */
function linesOf(body: string, isWhole: boolean): unknown[][] {
  const lines = body.split('\n');
  return (isWhole ? lines : lines.slice(0, -1))
    .filter((line) => line.trim() !== '')
    .map((line) => [jsonOf(line)]);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
