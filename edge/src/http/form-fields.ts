/** Makes values of the texts of a form or a query string: each what its schema accepts. */
import { ApiError } from '@blip2/shared/errors';
import { alternatives, elementOf, kindOf, memberOf, membersOf } from '@blip2/shared/schema-kinds';
import { shownName } from '@blip2/shared/validate';
import type * as z from 'zod/mini';
import { parseJsonValue } from './json-body.ts';
import { MAX_TEXT_BYTES } from './json-structure.ts';
import { JsonTotal } from './json-total.ts';

type Schema = z.core.$ZodType;

/** A name, as the client writes it, and its text, or a value that is JSON already. */
export type FormEntry = readonly [name: string, value: unknown];

/** More than any request has, a list's entries one by one. */
export const MAX_ENTRIES = 1000;
export const MAX_NAME_LENGTH = 256;

/**
 * Lists may be a name that is repeated, `texts[]`, `texts[0]`, or JSON; objects `history[0][question]`, or JSON. A text
 * that is not of its schema's type stays text: the schema refuses it. An empty text is absent where a number or a list
 * is asked for.
 * @param schema of all fields: a strict object
 * @param json what was read as JSON of the same form until now
 * @throws ApiError `invalid-request` for a field that is given twice and is no list
 * @example
 * fieldsFromForm([['seed', '7'], ['stop', 'a'], ['stop', 'b']], CaptionRequest) // { seed: 7, stop: ['a', 'b'] }
 */
export function fieldsFromForm(
  entries: readonly FormEntry[],
  schema: Schema,
  json = new JsonTotal(),
): Record<string, unknown> {
  if (entries.length > MAX_ENTRIES) throw tooManyFields(entries.length);
  const texts = new TextCount();
  for (const [, value] of entries) if (typeof value === 'string') texts.add(value);
  const root = new Field();
  for (const [name, value] of entries) {
    const [first, ...keys] = keysOf(name);
    keys.reduce((field, key) => field.child(key), root.child(first)).values.push(value);
  }
  return membersFrom(root, schema, { path: '', json });
}

/** Of all texts together; a longer one is an image's. */
const MAX_CHARACTERS = 2 ** 20;

/** Counts texts as they are decoded, so that no more is. */
export class TextCount {
  #characters = 0;

  /** @throws ApiError `invalid-request` */
  add(text: string): void {
    if (text.length > MAX_TEXT_BYTES) return;
    this.#characters += text.length;
    if (this.#characters <= MAX_CHARACTERS) return;
    const detail = `The fields have more than ${MAX_CHARACTERS} characters besides the image.`;
    const limits = { limit: MAX_CHARACTERS, actual: this.#characters };
    throw new ApiError('invalid-request', detail, limits);
  }
}

/** @param actual those that were counted when it was given up */
export function tooManyFields(actual: number): ApiError {
  const detail = `There are more than ${MAX_ENTRIES} fields.`;
  return new ApiError('invalid-request', detail, { limit: MAX_ENTRIES, actual });
}

/** @throws ApiError `invalid-request` for a name that is not worth reading */
export function expectShortName(name: string, limit = MAX_NAME_LENGTH): void {
  if (name.length <= limit) return;
  const detail = `The name ${shownName(name)} has more than ${limit} characters.`;
  throw new ApiError('invalid-request', detail, { limit, actual: name.length });
}

/** A field, or a place within one: what was given there, and what was given within it. */
class Field {
  readonly values: unknown[] = [];
  readonly children = new Map<string, Field>();

  /** @param key a name or an index; '' is another entry of a list */
  child(key: string): Field {
    const name = key === '' ? `+${this.children.size}` : key;
    const known = this.children.get(name);
    if (known !== undefined) return known;
    const child = new Field();
    this.children.set(name, child);
    return child;
  }
}

/**
 * Places within a field have brackets, or dots as Spring and .NET write them.
 * @example keysOf('history[0][question]') // ['history', '0', 'question'], as of 'history[0].question'
 */
function keysOf(name: string): [string, ...string[]] {
  expectShortName(name);
  if (name === '') throw new ApiError('invalid-request', 'A field has no name.');
  const match = /^([^[\].]+)((?:\[[^[\]]*\]|\.[^[\].]+)+)$/.exec(name);
  if (match === null) return [name];
  const [, first = name, rest = ''] = match;
  return [
    first,
    ...rest
      .replace(/\]?\[|\]?\./g, '[')
      .replace(/\]$/, '')
      .slice(1)
      .split('['),
  ];
}

/** Where a value stands, and what the form had as JSON until then. */
type Place = { path: string; json: JsonTotal };

function membersFrom(field: Field, schema: Schema, at: Place): Record<string, unknown> {
  const members: [string, unknown][] = [];
  for (const [name, child] of field.children) {
    const value = valueFrom(child, memberOf(schema, name), within(at, name));
    if (value !== undefined) members.push([name, value]);
  }
  return Object.fromEntries(members);
}

function valueFrom(field: Field, schema: Schema | undefined, at: Place): unknown {
  const [value, ...more] = field.values;
  const element = schema && elementOf(schema);
  // No field at all: the schema of all fields says so, by its name.
  if (schema === undefined) return value ?? '';
  if (field.children.size > 0) {
    if (field.values.length > 0) throw givenTwice(at);
    return element === undefined && Object.keys(membersOf(schema)).length > 0
      ? membersFrom(field, schema, at)
      : entriesFrom(field, element, at);
  }
  if (more.length === 0) return fromText(value, schema, at);
  if (element === undefined) throw givenTwice(at);
  return field.values.map((entry, index) => fromText(entry, element, within(at, String(index))));
}

/** Entries of a list: by their indices where they have them, else in their order. */
function entriesFrom(field: Field, element: Schema | undefined, at: Place): unknown[] {
  const entries = [...field.children];
  const isIndexed = entries.every(([key]) => /^\d{1,9}$/.test(key));
  if (!isIndexed && !entries.every(([key]) => key.startsWith('+'))) {
    const field = shownName(at.path);
    const detail = `${field}: is a list; name its entries ${field}[0], ${field}[1] or ${field}[].`;
    throw new ApiError('invalid-request', detail, { field });
  }
  if (isIndexed) entries.sort(([a], [b]) => Number(a) - Number(b));
  return entries.map(([, child], index) => valueFrom(child, element, within(at, String(index))));
}

function within({ path, json }: Place, name: string): Place {
  return { path: path === '' ? name : `${path}.${name}`, json };
}

function givenTwice({ path }: Place): ApiError {
  const field = shownName(path);
  return new ApiError('invalid-request', `${field} is given twice.`, { field });
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  false: false,
  1: true,
  0: false,
  on: true,
  off: false,
  yes: true,
  no: false,
};
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** @throws ApiError `invalid-json` for what begins as a list and is none, where no text is accepted */
function fromText(text: unknown, schema: Schema, at: Place): unknown {
  if (typeof text !== 'string') return text;
  const kinds = new Set(alternatives(schema).map(kindOf));
  if (kinds.has('array') || kinds.has('object')) {
    const value = fromJson(text, at);
    const kind = Array.isArray(value) ? 'array' : typeof value;
    if ((kind === 'array' || kind === 'object') && kinds.has(kind)) return value;
  }
  const word = text.trim().toLowerCase();
  if (kinds.has('boolean') && Object.hasOwn(BOOLEANS, word)) return BOOLEANS[word];
  if (kinds.has('number') && NUMBER.test(word)) return finite(Number(word));
  if (kinds.has('string')) return text;
  const element = elementOf(schema);
  if (word.startsWith('[')) return parseJsonValue(text, at.path, at.json);
  if (element !== undefined && alternatives(element).some((one) => kindOf(one) === 'string')) {
    return [text];
  }
  return word === '' && !kinds.has('boolean') ? undefined : text;
}

/** What is beyond all numbers is refused by the bound of its field. @example finite(Number('1e999')) // 1.7976931348623157e308 */
function finite(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(value, Number.MAX_VALUE));
}

/** The list or object that a text holds; the text where it holds none. */
function fromJson(text: string, { path, json }: Place): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return parseJsonValue(text, path, json);
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.slug !== 'invalid-json') throw thrown;
    return text;
  }
}
