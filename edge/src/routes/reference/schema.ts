/** Shows a JSON Schema: its type in a line, its members as a list. */
import { html } from 'hono/html';
import type { JsonSchema } from '../openapi/schemas.ts';
import { code, type HrefOf, type Html, inline } from './markdown.ts';

type Content = Html | string | readonly Content[];

const list = (value: unknown): JsonSchema[] => (Array.isArray(value) ? value : []);

/** @example typeOf({ type: 'array', items: { type: 'string' } }, hrefOf) // array of string */
export function typeOf(schema: JsonSchema, hrefOf: HrefOf): Content {
  if (typeof schema.$ref === 'string') return code(schema.$ref.split('/').at(-1) ?? '', hrefOf);
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (Array.isArray(schema.enum)) {
    return joined(
      schema.enum.map((value) => html`<code>${JSON.stringify(value)}</code>`),
      ' · ',
    );
  }
  const several = [...list(schema.anyOf), ...list(schema.oneOf)];
  if (several.length > 0)
    return joined(
      several.map((one) => typeOf(one, hrefOf)),
      ' or ',
    );
  const all = list(schema.allOf);
  if (all.length > 0)
    return joined(
      all.map((one) => typeOf(one, hrefOf)),
      ' and ',
    );
  const type = [schema.type ?? 'any value'].flat().join(' or ');
  if (type === 'array' && schema.items)
    return ['array of ', typeOf(schema.items as JsonSchema, hrefOf)];
  return schema.format === undefined ? type : `${type} (${schema.format})`;
}

function joined(parts: readonly Content[], by: string): Content {
  return parts.flatMap((part, index) => (index === 0 ? [part] : [by, part]));
}

const BOUNDS: [name: string, text: (value: unknown) => string][] = [
  ['minimum', (value) => `≥ ${value}`],
  ['exclusiveMinimum', (value) => `> ${value}`],
  ['maximum', (value) => `≤ ${value}`],
  ['exclusiveMaximum', (value) => `< ${value}`],
  ['minLength', (value) => `at least ${value} characters`],
  ['maxLength', (value) => `at most ${value} characters`],
  ['minItems', (value) => `at least ${value} items`],
  ['maxItems', (value) => `at most ${value} items`],
  ['default', (value) => `default ${JSON.stringify(value)}`],
];

/** What a value may be beside its type. @example bounds({ minimum: 0, default: 1 }) // ', ≥ 0, default 1' */
function bounds(schema: JsonSchema): string {
  const said = BOUNDS.filter(([name]) => schema[name] !== undefined);
  return said.map(([name, text]) => `, ${text(schema[name])}`).join('');
}

/** The members of an object, of the items of an array, or of what either may be; nothing of other values. */
export function members(schema: JsonSchema, hrefOf: HrefOf): Content {
  const { properties, required = [], items } = schema;
  const branches = [...list(schema.anyOf), ...list(schema.oneOf), ...list(schema.allOf)];
  if (branches.length > 0) return branches.map((branch) => members(branch, hrefOf));
  if (items) return members(items as JsonSchema, hrefOf);
  if (properties === undefined) return '';
  const rows = Object.entries(properties).map(([name, member]) =>
    row({ name, schema: member, isRequired: required.includes(name) }, hrefOf),
  );
  return rows.length === 0 ? '' : html`<dl>${rows}</dl>`;
}

export type Row = {
  name: string;
  schema: JsonSchema;
  isRequired?: boolean;
  description?: string;
  /** Of the element, for links. */
  id?: string;
};

/** One member or parameter: name, type, bounds, and what it means. */
export function row(
  { name, schema, isRequired = false, description, id }: Row,
  hrefOf: HrefOf,
): Html {
  const text = description ?? schema.description;
  return html`<div${id === undefined ? '' : html` id="${id}"`}>
    <dt><code>${name}</code> <span class="type">${typeOf(schema, hrefOf)}${bounds(schema)}${isRequired ? ', required' : ''}</span></dt>
    <dd>${typeof text === 'string' ? inline(text, hrefOf) : ''}${members(schema, hrefOf)}</dd>
  </div>`;
}
