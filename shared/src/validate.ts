/** Validates what clients send by its schema, and names the field that is wrong. */

import type * as z from 'zod/mini';
import { nearest } from './config/nearest.ts';
import { ApiError } from './errors.ts';
import { alternatives, membersOf, schemaAt } from './schema-kinds.ts';
import { OTHER_ROUTES, otherOption, UNKNOWN_FIELDS } from './schemas/other-names.ts';
import { type Places, placeFor, placesOf } from './schemas/places.ts';

/**
 * @example validate(CaptionOptions, { max_tokens: 0 }) // throws: max_tokens: must be more than 0.
 * @param within the field of the request that `value` is, where it is not the whole
 * @throws ApiError `invalid-request` naming the first field that is wrong
 */
export function validate<Schema extends z.ZodMiniType>(
  schema: Schema,
  value: unknown,
  ...within: string[]
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  // A name that is unknown explains one that is missing.
  const unknown = issues.find(
    ({ code, path }) => code === 'unrecognized_keys' && path.length === 0,
  );
  const isMissing = issues[0] !== undefined && valueAt(value, issues[0].path) === undefined;
  const first = (isMissing ? unknown : undefined) ?? ownIssue(issues);
  if (first === undefined) throw new ApiError('invalid-request', 'The request is not valid.');
  const issue = nearestIssue(first);
  const path = [...within, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const at = schemaAt(schema, issue.path) ?? schema;
    const remedyOf = remediesAt(at, placesAt(at) ?? placesAt(schema));
    const name =
      issue.keys.slice(0, MAX_LOOKED_AT).find((key) => remedyOf(key) !== undefined) ??
      issue.keys[0] ??
      '';
    const field = fieldName([...path, name]);
    const remedy = remedyOf(name);
    const end = remedy === undefined ? similar(name, Object.keys(membersOf(at))) : `: ${remedy}.`;
    const detail = `There is no field ${field}${end}`;
    throw new ApiError('invalid-request', detail, { field });
  }
  const field = fieldName(path);
  const what = describe(issue, valueAt(value, issue.path));
  throw new ApiError('invalid-request', `${field || 'The request'}: ${what}.`, { field });
}

/** Unknown names among which one with a remedy is looked for: a request may have thousands. */
const MAX_LOOKED_AT = 16;
const MAX_SHOWN_LENGTH = 100;

/** A name as it may be repeated in a message: a client's own may have megabytes. */
export function shownName(name: string): string {
  return name.length > MAX_SHOWN_LENGTH ? `${name.slice(0, MAX_SHOWN_LENGTH)}…` : name;
}

const NATIVE = new Map(Object.entries({ ...OTHER_ROUTES, ...UNKNOWN_FIELDS }));

const placesAt = (schema: z.core.$ZodType): Places | undefined =>
  alternatives(schema).map(placesOf).find(Boolean);

/**
 * What to write instead of an unknown name, where it is somebody's name of a thing.
 * @param at the schema that does not know it
 * @param places where a dialect has such things; undefined of our own routes
 */
function remediesAt(
  at: z.core.$ZodType,
  places: Places | undefined,
): (name: string) => string | undefined {
  const members = membersOf(at);
  const takes = (name: string) => Object.hasOwn(members, name);
  return (name) => {
    if (name.length > MAX_SHOWN_LENGTH) return undefined;
    const remedy = places === undefined ? NATIVE.get(name) : placeFor(places, name);
    const other = remedy ?? otherOption(name, takes);
    if (other !== undefined) return other;
    const [within] = Object.entries(members).filter(([, member]) => {
      return Object.hasOwn(membersOf(member), name);
    });
    return within && `it belongs into ${within[0]}`;
  };
}

/** The known name that an unknown one is like, as the end of a sentence. */
function similar(name: string, known: readonly string[]): string {
  if (name.length < 3 || name.length > MAX_SHOWN_LENGTH) return '.';
  const snakeCase = name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  const likely = nearest(snakeCase.replaceAll('-', '_'), known);
  return likely === undefined ? '.' : `; did you mean ${likely}?`;
}

/** The first issue; where a number is beyond all whole numbers, what the schema of its field says to that. */
function ownIssue(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue | undefined {
  const [first] = issues;
  if (first === undefined || !isBeyondIntegers(first)) return first;
  const place = fieldName(first.path);
  return (
    issues.find((issue) => fieldName(issue.path) === place && !isBeyondIntegers(issue)) ?? first
  );
}

/** zod checks these bounds of every whole number before those of a field. */
function isBeyondIntegers(issue: z.core.$ZodIssue): boolean {
  return (issue.code === 'too_big' || issue.code === 'too_small') && issue.origin === 'int';
}

/** Of a union, what is wrong with the alternative whose type was sent; where there is none, the union's own issue. */
function nearestIssue(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || isWorded(issue)) return issue;
  const near = ownIssue(
    issue.errors.find(([inner]) => inner?.code !== 'invalid_type' || inner.path.length > 0) ?? [],
  );
  return near === undefined
    ? issue
    : nearestIssue({ ...near, path: [...issue.path, ...near.path] });
}

/** Whether the schema has words of its own for the issue: zod/mini has no messages without a locale. */
const isWorded = ({ message }: z.core.$ZodIssue) => message !== 'Invalid input';

/** What is wrong, as the end of a sentence. */
function describe(issue: z.core.$ZodIssue, sent: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      if (sent === undefined) return 'is required';
      if (isWorded(issue)) return issue.message;
      if (issue.expected !== 'boolean') return `must be of type ${issue.expected}`;
      return `must be true or false${typeof sent === 'string' ? IN_FORMS : ''}`;
    case 'too_small':
      return amount(issue.origin, issue.inclusive ? 'at least' : 'more than', issue.minimum);
    case 'too_big':
      return amount(issue.origin, issue.inclusive ? 'at most' : 'less than', issue.maximum);
    case 'invalid_union': {
      if (sent === undefined) return 'is required';
      if (isWorded(issue)) return issue.message;
      const types = issue.errors.flat().flatMap((inner) => {
        return inner.code === 'invalid_type' ? [inner.expected] : [];
      });
      return `must be of type ${[...new Set(types)].join(' or ')}`;
    }
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`;
    case 'custom':
      return issue.message;
    case 'invalid_format':
      return isWorded(issue) ? issue.message : 'has the wrong format';
    default:
      return 'is not valid';
  }
}

/** What is read where everything is a text. */
const IN_FORMS = '; in forms and queries 1 and 0, yes and no, on and off are read as well';

const COUNTED: Partial<Record<string, [one: string, several: string]>> = {
  string: ['character', 'characters'],
  array: ['entry', 'entries'],
};

function amount(origin: string, relation: string, limit: number | bigint): string {
  const [one, several] = COUNTED[origin] ?? ['', ''];
  if (one === '') return `must be ${relation} ${limit}`;
  return `must have ${relation} ${limit} ${limit === 1 ? one : several}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
}

function fieldName(path: readonly PropertyKey[]): string {
  return shownName(path.map(String).join('.'));
}
