/** Checks replies of the API against the OpenAPI document that it serves itself. */
import { type Schema, Validator } from '@cfworker/json-schema';
import { createParser } from 'eventsource-parser';
import { Violation } from '../violation.ts';
import type { HttpInput, HttpReply } from './exchange.ts';
import { expectNoLeak } from './leaks.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;
type Media = { schema: JsonSchema; examples?: Record<string, { value?: unknown; $ref?: string }> };
export type Parameter = {
  name: string;
  in: 'path' | 'query' | 'header';
  schema?: JsonSchema;
  content?: Record<string, { schema: JsonSchema }>;
  example?: unknown;
};
export type Operation = {
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { content?: Record<string, Media> }>;
};
export type ApiDocument = {
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    examples?: Record<string, { value: unknown }>;
  };
};

/** Replies with these are announced: too much at once, or too long. */
const ANNOUNCED = new Set([503]);

/**
 * Expects of a reply that it is described, shows nothing of the inside and is no failure of the service.
 * @returns status and, of a problem, its type
 * @throws Violation
 */
export function checkReply(document: ApiDocument, input: HttpInput, reply: HttpReply): string {
  const { status, headers, text } = reply;
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  const sent = `${input.target}\n${Buffer.from(input.body).toString('latin1')}\n${input.headers.join('\n')}`;
  if (status >= 400) expectNoLeak(text, sent);
  const slug = type.endsWith('problem+json') ? slugOf(text) : '';
  const outcome = `${status} ${slug}`.trim();
  if (status >= 500 && !ANNOUNCED.has(status)) {
    throw new Violation(
      `${input.method} ${pathOf(input)} fails with ${outcome}: ${text.slice(0, 500)}`,
    );
  }
  const [template, operation] = operationOf(document, input);
  // HTTP itself is refused before the Worker is asked.
  if (operation === undefined || (status === 400 && type !== 'application/problem+json'))
    return outcome;
  const described = operation.responses[status];
  const what = `${input.method} ${template} replies ${outcome}`;
  if (described === undefined)
    throw new Violation(`${what}, which is not described: ${text.slice(0, 300)}`);
  if (input.method === 'HEAD' || type === '') return outcome;
  const media = described.content?.[type];
  if (media === undefined) throw new Violation(`${what} as ${type}, which is not described`);
  if (type.endsWith('json')) expectValid(document, media.schema, parsed(text, what), what);
  if (type === 'text/event-stream') {
    const events = eventsOf(text);
    expectValid(document, (media.schema.contentSchema ?? {}) as JsonSchema, events, what);
    const last = events.at(-1);
    const failure = last?.event === 'error' ? (last.data as { status?: number }) : undefined;
    if (failure === undefined) return outcome;
    expectNoLeak(JSON.stringify(failure), sent);
    if ((failure.status ?? 500) >= 500 && !ANNOUNCED.has(failure.status ?? 500)) {
      throw new Violation(`${what} and then fails: ${JSON.stringify(failure)}`);
    }
  }
  return outcome;
}

function slugOf(text: string): string {
  const type = /"type":"([^"]*)"/.exec(text)?.[1];
  return (type ?? '').replace(/^.*\//, '');
}

function pathOf({ target }: HttpInput): string {
  const path = target.split('?')[0] ?? '';
  return path.length > 60 ? `${path.slice(0, 60)}…` : path;
}

/** The operation that answers, and its path; none of paths that are not described. */
function operationOf(
  { paths }: ApiDocument,
  { method, target }: HttpInput,
): [path: string, operation: Operation | undefined] {
  if (method === 'OPTIONS') return [target, undefined];
  const path = target.split(/[?#]/)[0] ?? '';
  const matches = (template: string) =>
    new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path);
  const template = path in paths ? path : (Object.keys(paths).find(matches) ?? '');
  const item = paths[template] ?? {};
  // Other methods are answered as every operation of the path says.
  const name = method === 'HEAD' ? 'get' : method.toLowerCase();
  return [template, item[name] ?? Object.values(item)[0]];
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Violation(`${what} with JSON that is none: ${text.slice(0, 300)}`);
  }
}

function expectValid(
  { components }: ApiDocument,
  schema: JsonSchema,
  value: unknown,
  what: string,
) {
  const { errors } = new Validator({ ...schema, components } as Schema, '2020-12', false).validate(
    value,
  );
  if (errors.length === 0) return;
  const said = errors
    .map(({ instanceLocation, error }) => `${instanceLocation} ${error}`)
    .join('; ');
  throw new Violation(`${what}, which its schema does not allow: ${said.slice(0, 500)}`);
}

function eventsOf(text: string): { event: string; data: unknown }[] {
  const events: { event: string; data: unknown }[] = [];
  createParser({
    onEvent: ({ event = 'message', data }) =>
      events.push({ event, data: parsed(data, 'a stream has an event') }),
  }).feed(text);
  return events;
}
