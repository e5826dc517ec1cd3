/** Bodies of requests to a route, made of what the OpenAPI document says of it: JSON, forms, and images. */
import * as fc from 'fast-check';
import type { ApiDocument, JsonSchema, Media, Operation } from '../http/described.ts';
import { markOf } from '../http/stored-things.ts';
import { byteEdit, editBytes } from './byte-edits.ts';
import { hostileJson, hostileName, hostileString } from './hostile.ts';
import { editJson, type JsonEdit, jsonEdit } from './json-edits.ts';
import { valuesOf } from './schema-values.ts';

export type Body = { type: string; bytes: Uint8Array };
/** What the service knows: an image, and its hash in the cache. */
export type KnownImage = { bytes: Uint8Array; sha256: string };

const FEW_TOKENS = 3;
const IMAGE_HASH = /^[0-9a-f]{64}$/;
/** Of a host that cannot be reached from here. */
const IMAGE_URL = /^https?:\S+\.(?:avif|gif|jpe?g|png|webp)$/;
const MAX_TOKENS = /^max_(?:\w+_)?tokens$/;

/** A body of one of the media types that the route reads, valid or nearly so. */
export function bodyOf(
  document: ApiDocument,
  operation: Operation,
  image: KnownImage,
): fc.Arbitrary<Body> {
  const content = operation.requestBody?.content ?? {};
  const kinds = Object.entries(content).map(([type, media]): fc.Arbitrary<Body> => {
    if (type.endsWith('json')) return jsonBody(document, type, media, image);
    if (type === 'multipart/form-data') return multipartBody(document, media, image);
    if (type === 'application/x-www-form-urlencoded')
      return urlEncodedBody(document, media.schema, image);
    return fc
      .oneof(fc.constant(image.bytes), edited(image.bytes))
      .map((bytes) => ({ type, bytes }));
  });
  const json = Object.keys(content).findIndex((type) => type.endsWith('json'));
  if (kinds.length === 0) return fc.constant({ type: 'application/json', bytes: new Uint8Array() });
  return fc.oneof(
    ...kinds.map((arbitrary, i) => ({ weight: i === json ? kinds.length : 1, arbitrary })),
  );
}

function edited(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc
    .array(byteEdit(256), { minLength: 1, maxLength: 4 })
    .map((edits) => editBytes(bytes, edits));
}

/** What images and ids of a value are replaced by: such as the service knows. */
function grounded(value: unknown, image: KnownImage): unknown {
  const data = Buffer.from(image.bytes).toString('base64');
  if (typeof value === 'string') {
    if (IMAGE_HASH.test(value)) return image.sha256;
    return IMAGE_URL.test(value) ? data : value;
  }
  if (Array.isArray(value)) {
    // Of a list of hashes the first: the same again is refused.
    const isOther = (item: unknown, i: number) => i > 0 && IMAGE_HASH.test(String(item));
    return value.map((item, i) => (isOther(item, i) ? item : grounded(item, image)));
  }
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([name, inner]): [string, unknown] => {
    if (name === 'sha256' && typeof inner === 'string') return [name, image.sha256];
    if (name === 'data' && typeof inner === 'string') return [name, data];
    if (name === 'url' && typeof inner === 'string')
      return [name, `data:image/webp;base64,${data}`];
    if (name === 'file_id') return [name, markOf('file')];
    if (name === 'input_file_id') return [name, markOf('lines')];
    return [name, grounded(inner, image)];
  });
  return Object.fromEntries(members);
}

/** Values of a request: the examples of the document, and what the schema allows. */
function requests(
  { components }: ApiDocument,
  { schema, examples = {} }: NonNullable<Operation['requestBody']>['content'][string],
  image: KnownImage,
): fc.Arbitrary<unknown> {
  const { schemas, examples: named = {} } = components;
  const shown = Object.values(examples).map(
    ({ value, $ref = '' }) => value ?? named[$ref.replace(/^.*\//, '')]?.value,
  );
  const allowed = valuesOf(schema, schemas);
  const all = shown.length === 0 ? allowed : fc.oneof(fc.constantFrom(...shown), allowed);
  const names = Object.keys(propertiesOf(schema, schemas));
  const limit = names.find((name) => MAX_TOKENS.test(name));
  const needed = {
    ...(limit !== undefined && { [limit]: FEW_TOKENS }),
    ...(names.includes('image') && { image: { sha256: image.sha256 } }),
  };
  return all.map((value) => {
    const ready = grounded(value, image);
    if (typeof ready !== 'object' || ready === null) return ready;
    return { ...needed, ...ready, ...(limit !== undefined && { [limit]: FEW_TOKENS }) };
  });
}

function propertiesOf(schema: JsonSchema, schemas: ApiDocument['components']['schemas']): object {
  const { $ref } = schema;
  const own = typeof $ref === 'string' ? schemas[$ref.replace(/^.*\//, '')] : schema;
  return (own?.properties ?? {}) as object;
}

function jsonBody(
  document: ApiDocument,
  type: string,
  media: Parameters<typeof requests>[1],
  image: KnownImage,
): fc.Arbitrary<Body> {
  const text = fc
    .tuple(
      requests(document, media, image),
      fc.oneof(fc.constant<JsonEdit[]>([]), fc.array(jsonEdit(), { minLength: 1, maxLength: 3 })),
    )
    .map(([value, edits]) => new TextEncoder().encode(editJson(value, edits)));
  const bytes = fc.oneof(
    { weight: 8, arbitrary: text },
    {
      weight: 1,
      arbitrary: fc
        .tuple(text, fc.array(byteEdit(), { maxLength: 3 }))
        .map(([base, edits]) => editBytes(base, edits)),
    },
    { weight: 1, arbitrary: hostileJson.map((json) => new TextEncoder().encode(json)) },
    {
      weight: 1,
      arbitrary: text.map(
        (base) => new Uint8Array(Buffer.from(Buffer.from(base).toString(), 'utf16le')),
      ),
    },
  );
  return bytes.map((made) => ({ type, bytes: made }));
}

/** Names and texts of the fields of a form. */
function fields(document: ApiDocument, schema: JsonSchema, image: KnownImage) {
  const usual = requests(document, { schema }, image).map((value) =>
    Object.entries((value ?? {}) as object)
      .filter(([name]) => name !== 'image')
      .map(([name, inner]): [string, string] => [
        name,
        typeof inner === 'object' ? JSON.stringify(inner) : String(inner),
      ]),
  );
  const odd = fc.array(fc.tuple(hostileName, hostileString), { maxLength: 3 });
  const spoiled = fc
    .tuple(usual, fc.nat(20), hostileString)
    .map(([all, at, text]) =>
      all.map(([name, value], i): [string, string] => [name, i === at % all.length ? text : value]),
    );
  const many = fc
    .constantFrom(100, 1000, 20_000)
    .map((count) => Array<[string, string]>(count).fill(['x', '1']));
  return fc.oneof(
    { weight: 6, arbitrary: usual },
    { weight: 4, arbitrary: spoiled },
    { weight: 2, arbitrary: fc.tuple(usual, odd).map(([some, more]) => [...some, ...more]) },
    { weight: 1, arbitrary: fc.tuple(usual, usual).map(([some, more]) => [...some, ...more]) },
    {
      weight: 1,
      arbitrary: fc.oneof({ weight: 9, arbitrary: odd }, { weight: 1, arbitrary: many }),
    },
  );
}

function urlEncodedBody(
  document: ApiDocument,
  schema: JsonSchema,
  image: KnownImage,
): fc.Arbitrary<Body> {
  const type = 'application/x-www-form-urlencoded';
  const references = fc.constantFrom<[string, string][]>(
    [['image', JSON.stringify({ sha256: image.sha256 })]],
    [['image', Buffer.from(image.bytes).toString('base64')]],
    [],
  );
  const text = fc
    .tuple(references, fields(document, schema, image))
    .map(([some, more]) =>
      new TextEncoder().encode(new URLSearchParams([...some, ...more]).toString()),
    );
  const spoiled = fc
    .tuple(text, fc.array(byteEdit(), { maxLength: 3 }))
    .map(([base, edits]) => editBytes(base, edits));
  return fc.oneof({ weight: 3, arbitrary: text }, spoiled).map((bytes) => ({ type, bytes }));
}

const BOUNDARY = '----fuzz7MA4YWxkTrZu0gW';
const BOUNDARIES = [BOUNDARY, `"${BOUNDARY}"`, '', '"', 'other', ' ', 'é', 'x'.repeat(300)];

/** The name of the part that has the file, and what it may hold. */
function fileOf({ schema, example }: Media, image: KnownImage) {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>);
  const name = properties.find(([, { format }]) => format === 'binary')?.[0] ?? 'image';
  const shown = (example as Record<string, unknown> | undefined)?.[name];
  const contents: (Uint8Array | string)[] = [image.bytes];
  if (typeof shown === 'string') contents.push(shown);
  return { name, contents };
}

function multipartBody(document: ApiDocument, media: Media, image: KnownImage): fc.Arbitrary<Body> {
  const { name: fileField, contents } = fileOf(media, image);
  const fileName = fc.oneof(fc.constant('scene.webp'), hostileString);
  const fileType = fc.constantFrom(
    'image/webp',
    'image/svg+xml',
    'text/plain',
    '',
    'x',
    'multipart/mixed; boundary=y',
  );
  const extra = fc.constantFrom(
    '',
    'Content-Transfer-Encoding: base64\r\n',
    'Content-Length: 1\r\n',
    'X\r\n',
    ': \r\n',
    `X: ${'y'.repeat(20_000)}\r\n`,
  );
  const files = fc.array(fc.record({ fileName, fileType, extra }), { minLength: 0, maxLength: 2 });
  const isUsual = fc.constantFrom(true, true, true, false);
  const body = fc
    .tuple(fields(document, media.schema, image), files, isUsual, fc.constantFrom(...contents))
    .map(([all, images, usual, content]) => {
      const texts = all.filter(([name]) => name !== fileField);
      const part = (headers: string, content: Uint8Array | string) =>
        Buffer.concat([
          Buffer.from(`--${BOUNDARY}\r\n${headers}\r\n`),
          Buffer.from(content),
          Buffer.from('\r\n'),
        ]);
      const file = usual ? [{ fileName: 'scene.webp', fileType: 'image/webp', extra: '' }] : images;
      return new Uint8Array(
        Buffer.concat([
          ...texts.map(([name, text]) =>
            part(`Content-Disposition: form-data; name="${name}"\r\n`, text),
          ),
          ...file.map((one) =>
            part(
              `Content-Disposition: form-data; name="${fileField}"; filename="${one.fileName}"\r\nContent-Type: ${one.fileType}\r\n${one.extra}`,
              content,
            ),
          ),
          Buffer.from(`--${BOUNDARY}--\r\n`),
        ]),
      );
    });
  const spoiled = fc
    .tuple(body, fc.array(byteEdit(512), { maxLength: 4 }))
    .map(([base, edits]) => editBytes(base, edits));
  const boundary = fc.oneof(
    { weight: 9, arbitrary: fc.constant(BOUNDARY) },
    fc.constantFrom(...BOUNDARIES),
  );
  return fc
    .tuple(fc.oneof({ weight: 3, arbitrary: body }, spoiled), boundary)
    .map(([bytes, name]) => ({ type: `multipart/form-data; boundary=${name}`, bytes }));
}
