/** The OpenAPI document says everything, and its examples are right. */
import { PROBLEMS } from '@blip2/shared/errors';
import { type Schema, Validator } from '@cfworker/json-schema';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { describe, expect, it } from 'vitest';
import type { ApiDocument, Media, Operation } from '../../testing/described.ts';
import { startEdge } from '../../testing/edge.ts';
import { generative } from '../../testing/models.ts';

const edge = startEdge();
const response = await edge.request('/openapi.json');
const document: ApiDocument = await response.clone().json();
const operations: [string, Operation][] = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]): [string, Operation] => [
    `${method.toUpperCase()} ${path}`,
    operation,
  ]),
);

const validators = new Map<string, Validator>();

/** Each validator walks through all that it is given: one for each schema, with the components where it refers to them. */
function validatorOf(schema: object): Validator {
  const text = JSON.stringify(schema);
  const { components } = document;
  const whole = text.includes('"$ref"') ? { ...schema, components } : schema;
  const validator = validators.get(text) ?? new Validator(whole as Schema, '2020-12', false);
  validators.set(text, validator);
  return validator;
}

function errorsOf(schema: object, value: unknown): string[] {
  return validatorOf(schema)
    .validate(value)
    .errors.map(({ instanceLocation: at, error }) => `${at} ${error}`);
}

/** Every object and array inside, with its path. */
function* inside(value: unknown, path: string[] = []): Generator<[string[], object]> {
  if (typeof value !== 'object' || value === null) return;
  yield [path, value];
  for (const [name, inner] of Object.entries(value)) yield* inside(inner, [...path, name]);
}

describe('the document', () => {
  it('may be cached, and is not sent again while it is the same', async () => {
    const etag = response.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"\w+"$/);
    expect(response.headers.get('cache-control')).toBe('public, max-age=300');
    const again = await edge.request('/openapi.json', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    const other = startEdge({ env: { MAX_IMAGE_BYTES: '5' } });
    const changed = await other.request('/openapi.json');
    expect(changed.headers.get('etag')).not.toBe(etag);
    await changed.body?.cancel();
  });

  it('is compressed for those who take that', async () => {
    const headers = { 'accept-encoding': 'gzip, br' };
    const packed = await edge.request('/openapi.json', { headers });
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect((await packed.arrayBuffer()).byteLength).toBeLessThan(200_000);
  });

  it('describes every operation, parameter, header, schema and member of a schema', () => {
    const bare: string[] = [];
    const mustSay = (what: string, thing: { description?: unknown; $ref?: unknown }) => {
      if (thing.$ref === undefined && !/\w/.test(String(thing.description ?? ''))) bare.push(what);
    };
    for (const [name, { parameters, responses, ...operation }] of operations) {
      expect(operation).toMatchObject({
        operationId: expect.stringMatching(/^[a-z]+[A-Za-z]+$/),
        summary: expect.stringMatching(/^[A-Z].*[^.]$/),
        description: expect.stringMatching(/\.$/),
        tags: [expect.any(String)],
      });
      for (const parameter of parameters) mustSay(`${name} ${parameter.name}`, parameter);
      for (const [status, reply] of Object.entries(responses)) mustSay(`${name} ${status}`, reply);
    }
    for (const [path, value] of inside(document.components)) {
      if (path.length === 2 && path[0] !== 'examples') mustSay(path.join('.'), value);
      if (path.at(-2) === 'properties') mustSay(path.join('.'), value);
    }
    expect(bare).toEqual([]);
  });

  it('has only limits of ours: none is the largest integer of JavaScript', () => {
    const text = JSON.stringify(document);
    expect(text).not.toMatch(/9007199254740991|9223372036854775807|1\.7976931348623157e\+308/);
  });

  it('says what holds where a request says nothing, for the model that is served', async () => {
    const defaultsAt = async (models: Parameters<typeof startEdge>[0]) => {
      const served = await (await startEdge(models).request('/openapi.json')).json<ApiDocument>();
      const { parameters } = served.paths['/v1/captions']!.post!;
      return Object.fromEntries(
        parameters.map(({ name, schema }) => [name, (schema as { default?: unknown })?.default]),
      );
    };
    expect(await defaultsAt({})).toMatchObject({
      max_tokens: generative.max_new_tokens,
      num_beams: 1,
      temperature: 0,
      seed: undefined,
    });
    const generation = { num_beams: 5, length_penalty: -1 };
    const models = { generate: { ...generative, max_new_tokens: 9, generation } };
    expect(await defaultsAt({ models })).toMatchObject({ max_tokens: 9, ...generation, top_p: 1 });
  });

  it('has every problem at some operation, and every reference leads somewhere', () => {
    const text = JSON.stringify(Object.values(document.paths));
    const missing = Object.keys(PROBLEMS).filter((slug) => !text.includes(`- \`${slug}\`: `));
    expect(missing).toEqual([]);
    for (const [, path = ''] of JSON.stringify(document).matchAll(/"#\/([^"]+)"/g)) {
      const target = path
        .split('/')
        .reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], document);
      expect(target, path).toBeDefined();
    }
  });
});

describe('examples', () => {
  it('of requests and replies are there and follow their schemas', () => {
    for (const [name, { requestBody, responses }] of operations) {
      const contents = [requestBody, ...Object.values(responses)].map(
        (body) => body?.content ?? {},
      );
      for (const [type, { schema, examples }] of contents.flatMap(Object.entries<Media>)) {
        if (!/(?<!nd)json$/.test(type) || name === 'GET /openapi.json') continue;
        const values = Object.values(examples ?? {}).map(({ value, $ref }) =>
          $ref === undefined ? value : document.components.examples[$ref.split('/').at(-1)!]?.value,
        );
        expect(values.length, `${name} ${type}`).toBeGreaterThan(0);
        for (const value of values) expect(errorsOf(schema, value), name).toEqual([]);
      }
    }
  });

  it('are whole: people copy them', () => {
    for (const [path, value] of inside(document)) {
      const { examples, example } = value as Record<string, unknown>;
      const values = JSON.stringify([examples, example]).replaceAll('sk-…', '');
      expect(values, path.join('.')).not.toContain('…');
    }
  });

  it('of parameters, headers and members follow their schemas', () => {
    for (const [path, value] of inside(document)) {
      if (path[0] === 'paths' && path.includes('examples')) continue;
      const { examples, example, schema, ...rest } = value as Record<string, unknown>;
      if (Array.isArray(examples)) {
        for (const one of examples) expect(errorsOf(rest, one), path.join('.')).toEqual([]);
      }
      if (example !== undefined) {
        expect(errorsOf(schema as object, example), path.join('.')).toEqual([]);
      }
    }
  });

  it.each(['caption', 'answer'])(
    'of streams of %ss are streams of described events',
    async (name) => {
      const { content } = document.paths[`/v1/${name}s`]!.post!.responses[200]!;
      const { schema, examples } = content!['text/event-stream']!;
      const { contentSchema } = schema as { contentSchema: object };
      for (const { value } of Object.values(examples ?? {})) {
        const events = new Response(String(value))
          .body!.pipeThrough(new TextDecoderStream())
          .pipeThrough(new EventSourceParserStream());
        const all: unknown[] = [];
        for await (const { event, data } of events) all.push({ event, data: JSON.parse(data) });
        expect(all.length).toBeGreaterThan(2);
        expect(JSON.stringify(all)).toMatch(new RegExp(`"${name}":|"error"`));
        expect(errorsOf(contentSchema, all)).toEqual([]);
      }
    },
  );
});
