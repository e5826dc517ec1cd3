/** Checks replies of the API against the OpenAPI document that it serves itself. */
import { type Schema, Validator } from '@cfworker/json-schema';
import { createParser } from 'eventsource-parser';
import { Violation } from '../violation.ts';
import type { HttpInput, HttpReply } from './exchange.ts';
import { expectNoLeak } from './leaks.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;
export type Media = {
  schema: JsonSchema;
  example?: unknown;
  examples?: Record<string, { value?: unknown; $ref?: string }>;
};
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
/** The same in a dialect that has another status for it. */
const UNAVAILABLE = new Set(['worker-unavailable', 'model-unavailable', 'cache-unavailable']);

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
  const slug = status >= 400 && type.endsWith('json') ? slugOf(text) : '';
  const outcome = `${status} ${slug}`.trim();
  if (status >= 500 && !ANNOUNCED.has(status) && !UNAVAILABLE.has(slug)) {
    throw new Violation(
      `${input.method} ${pathOf(input)} fails with ${outcome}: ${text.slice(0, 500)}`,
    );
  }
  const [template, operation] = operationOf(document, input);
  if (operation === undefined && input.method !== 'OPTIONS' && status < 300) {
    throw new Violation(
      `${input.method} ${pathOf(input)} is not described, and is answered ${status}`,
    );
  }
  // HTTP itself is refused before the Worker is asked.
  if (operation === undefined || (status === 400 && !type.endsWith('json'))) return outcome;
  const described = operation.responses[status];
  const what = `${input.method} ${template} replies ${outcome}`;
  if (described === undefined)
    throw new Violation(`${what}, which is not described: ${text.slice(0, 300)}`);
  if (input.method === 'HEAD' || type === '') return outcome;
  const media = described.content?.[type];
  if (media === undefined) throw new Violation(`${what} as ${type}, which is not described`);
  if (type === LINES || type === 'text/event-stream') {
    const events = type === LINES ? linesOf(text) : eventsOf(text);
    checkEvents(document, media.schema, { events, sent, what });
  } else if (type.endsWith('json')) {
    expectValid(document, media.schema, parsed(text, what), what);
  }
  return outcome;
}

/** Lines of JSON. */
const LINES = 'application/x-ndjson';

type Streamed = { events: StreamedEvent[]; sent: string; what: string };

/** The items of a stream are its events, or what these carry; an error may be the last. */
function checkEvents(document: ApiDocument, schema: JsonSchema, { events, sent, what }: Streamed) {
  const items = (schema.contentSchema ?? {}) as JsonSchema;
  const failure = events.at(-1);
  if (failure !== undefined && isError(failure)) {
    const said = JSON.stringify(failure.data);
    expectNoLeak(said, sent);
    if (FAILURES.test(said)) throw new Violation(`${what} and then fails: ${said.slice(0, 300)}`);
    if (failure.event !== 'error') events.pop();
  }
  const carried = events.map(({ data }) => data);
  if (faultsOf(document, items, carried) === null) return;
  expectValid(document, items, events, what);
}

/** What a stream must not end with: problems whose status would be 500, 502 or 504. */
const FAILURES = /internal[-_]error|computation[-_]failed|bad[-_]gateway|deadline[-_]exceeded/;

function isError({ event, data }: StreamedEvent): boolean {
  return (
    event === 'error' ||
    (typeof data === 'object' && data !== null && 'error' in data && data.error !== null)
  );
}

function slugOf(text: string): string {
  const type = /"(?:type|code|error_type)":\s*"([^"]*)"/.exec(text)?.[1];
  return (type ?? '').replace(/^.*\//, '');
}

function pathOf({ target }: HttpInput): string {
  const path = target.split('?')[0] ?? '';
  return path.length > 60 ? `${path.slice(0, 60)}…` : path;
}

/** The operation that answers, and its path; none of paths that are not described. */
export function operationOf(
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

function expectValid(document: ApiDocument, schema: JsonSchema, value: unknown, what: string) {
  const faults = faultsOf(document, schema, value);
  if (faults === null) return;
  throw new Violation(`${what}, which its schema does not allow: ${faults.slice(0, 500)}`);
}

/** What is wrong with a value; null where nothing is. */
function faultsOf({ components }: ApiDocument, schema: JsonSchema, value: unknown): string | null {
  const whole = { ...schema, components } as Schema;
  const { errors } = new Validator(whole, '2020-12', false).validate(value);
  if (errors.length === 0) return null;
  return errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`).join('; ');
}

type StreamedEvent = { event: string; data: unknown };

/** Events in their order, without the mark that some streams end with. */
function eventsOf(text: string): StreamedEvent[] {
  const events: StreamedEvent[] = [];
  createParser({
    onEvent: ({ event = 'message', data }) => {
      // What ends a stream of Moondream's that has failed is no JSON.
      if (data === '[DONE]' || event === 'end') return;
      events.push({ event, data: parsed(data, 'a stream has an event') });
    },
  }).feed(text);
  return events;
}

/** Lines as events. White space before one is no part of it. */
function linesOf(text: string): StreamedEvent[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => ({ event: 'message', data: parsed(line, 'a stream has a line') }));
}
