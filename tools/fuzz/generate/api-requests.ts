/** Requests to every route that the OpenAPI document describes: valid ones, nearly valid ones, and odd ones. */
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import type { ApiDocument, Operation, Parameter } from '../http/described.ts';
import type { HttpInput } from '../http/exchange.ts';
import { markOf, type StoredKind } from '../http/stored-things.ts';
import { type Body, bodyOf, type KnownImage } from './api-bodies.ts';
import { hostileName, hostileString } from './hostile.ts';
import { valuesOf } from './schema-values.ts';

type Header = readonly [name: string, value: string];

/** What requests may say of themselves; each is sometimes true. */
const HEADERS: Readonly<Record<string, readonly string[]>> = {
  accept: [
    '*/*',
    'application/json',
    'text/event-stream',
    'application/x-npy',
    'image/png',
    'a/b;q=x',
    'text/event-stream;q=0.5, */*;q=0.1',
    ',,',
    '',
  ],
  'accept-encoding': ['gzip', 'br', 'identity;q=0', '*;q=0'],
  'content-type': [
    'application/json',
    'text/plain',
    'image/png',
    'application/json; charset=utf-16',
    'application/octet-stream',
    'multipart/form-data',
    'x',
    '',
    'application/json, image/png',
  ],
  'content-encoding': ['gzip', 'identity', 'gzip, gzip', 'x', '', 'deflate, br'],
  'x-request-id': ['abc', 'a b', '', 'x'.repeat(300)],
  'if-none-match': ['*', '"x"', 'W/"x"', 'x', '""'],
  range: ['bytes=0-1', 'bytes=-1', 'x'],
  expect: ['100-continue'],
  'cf-connecting-ip': ['1.2.3.4', 'x', ''],
  'x-forwarded-for': ['1.2.3.4', '::1, 2.3.4.5'],
  origin: ['https://example.org', 'null'],
  authorization: ['Bearer x', 'Basic', ''],
};

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'];

export function apiRequests(document: ApiDocument, image: KnownImage): fc.Arbitrary<HttpInput> {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      operation,
    })),
  );
  return fc.oneof(
    ...operations.map(({ path, method, operation }) => ({
      // There is more to go wrong where there is a body.
      weight: operation.requestBody === undefined ? 1 : 4,
      arbitrary: requestTo(document, path, method, operation, image),
    })),
    { weight: 1, arbitrary: oddPath },
  );
}

function requestTo(
  document: ApiDocument,
  path: string,
  method: string,
  operation: Operation,
  image: KnownImage,
): fc.Arbitrary<HttpInput> {
  const { parameters = [] } = operation;
  return fc
    .record({
      path: pathOf(path, parameters, image),
      query: queryOf(document, parameters, operation.requestBody === undefined),
      method: fc.oneof({ weight: 30, arbitrary: fc.constant(method) }, fc.constantFrom(...METHODS)),
      body: bodyOf(document, operation, image).chain(encoded),
      headers: headers(document, parameters),
      cuts: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        fc.array(fc.nat(2 ** 20), { maxLength: 6 }),
      ),
      leaveAfter: fc.oneof({ weight: 20, arbitrary: fc.constant(null) }, fc.nat(20_000)),
    })
    .map(({ path: at, query, method: name, body, headers: more, cuts, leaveAfter }) => {
      const hasBody = operation.requestBody !== undefined && name !== 'GET' && name !== 'HEAD';
      const own = new Set(more.map(([header]) => header));
      const usual = body.headers.filter(([header]) => hasBody && !own.has(header));
      return {
        method: name,
        target: `${at}${query}`,
        headers: [...usual, ...more],
        body: hasBody ? body.bytes : new Uint8Array(),
        cuts: hasBody ? cuts : [],
        leaveAfter: hasBody ? leaveAfter : null,
      };
    });
}

/** What the ids in paths name. */
const STORED: Readonly<Record<string, StoredKind>> = {
  file_id: 'file',
  job_id: 'job',
  batch_id: 'batch',
  prediction_id: 'prediction',
};

/** A path with its parameters; what a URL cannot hold is escaped. */
function pathOf(
  path: string,
  parameters: readonly Parameter[],
  image: KnownImage,
): fc.Arbitrary<string> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const values = names.map((name) => {
    const example = String(parameters.find((parameter) => parameter.name === name)?.example ?? 'x');
    const stored = path.startsWith('/replicate/') && name === 'file_id' ? 'upload' : STORED[name];
    const usual = stored === undefined ? example : markOf(stored);
    const known = name === 'sha256' ? image.sha256 : usual;
    return fc.oneof(
      { weight: 3, arbitrary: fc.constant(known) },
      { weight: 1, arbitrary: fc.constant(example) },
      { weight: 1, arbitrary: hostileString.map(escaped) },
    );
  });
  return fc
    .tuple(...values)
    .map((texts) =>
      names.reduce((whole, name, i) => whole.replace(`{${name}}`, () => texts[i] ?? ''), path),
    );
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed()).slice(0, 8000);
}

function queryOf(
  document: ApiDocument,
  parameters: readonly Parameter[],
  isFrequent: boolean,
): fc.Arbitrary<string> {
  const known = parameters.filter((parameter) => parameter.in === 'query');
  const pair = fc.oneof(
    ...known.map((parameter) => {
      const schema = parameter.schema ?? Object.values(parameter.content ?? {})[0]?.schema ?? {};
      const usual = valuesOf(schema, document.components.schemas).map((value) =>
        typeof value === 'object' ? JSON.stringify(value) : String(value),
      );
      const text = fc.oneof({ weight: 3, arbitrary: usual }, hostileString);
      return text.map((value) => `${escaped(parameter.name)}=${escaped(value)}`);
    }),
    fc
      .tuple(hostileName, hostileString)
      .map(([name, value]) => `${escaped(name)}=${escaped(value)}`),
    fc.constantFrom('', '=', '&', '%', '%zz=%', '?', 'a=1&a=2', '+', '%00'),
  );
  const some = fc
    .array(pair, { minLength: 1, maxLength: 3 })
    .map((pairs) => `?${pairs.join('&')}`.slice(0, 12_000));
  return fc.oneof({ weight: isFrequent ? 1 : 8, arbitrary: fc.constant('') }, some);
}

function headers(
  document: ApiDocument,
  parameters: readonly Parameter[],
): fc.Arbitrary<readonly Header[]> {
  const described = parameters
    .filter((parameter) => parameter.in === 'header')
    .map(({ name, schema = {} }) =>
      valuesOf(schema, document.components.schemas).map(
        (value): Header => [name.toLowerCase(), String(value)],
      ),
    );
  const known = Object.entries(HEADERS).map(([name, values]) =>
    fc
      .oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, hostileString)
      .map((value): Header => [name, value]),
  );
  const one = fc.oneof(...described, ...known);
  const some = fc.array(one, { minLength: 1, maxLength: 3 }).map(valid);
  return fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, some);
}

/** Longer ones are refused by HTTP itself. */
function valid(all: readonly Header[]): Header[] {
  return all.map(([name, value]) => [name, value.slice(0, 2000)]);
}

/** A body as a client may compress it, or say that it has. */
function encoded({ type, bytes }: Body): fc.Arbitrary<{ bytes: Uint8Array; headers: Header[] }> {
  const contentType: Header[] = [['content-type', type]];
  const compressions: Record<string, (data: Uint8Array) => Uint8Array> = {
    gzip: (data) => gzipSync(data, { level: 1 }),
    deflate: (data) => deflateSync(data, { level: 1 }),
    br: (data) => brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    zstd: (data) => zstdCompressSync(data),
  };
  const compressed = fc
    .tuple(
      fc.constantFrom(...Object.keys(compressions)),
      fc.constantFrom(...Object.keys(compressions)),
      fc.nat(9),
    )
    .map(([name, other, how]): { bytes: Uint8Array; headers: Header[] } => {
      const made = compressions[name]?.(bytes) ?? bytes;
      if (how === 0) return { bytes: made, headers: [...contentType, ['content-encoding', other]] };
      if (how === 1)
        return {
          bytes: made.subarray(0, made.length - 4),
          headers: [...contentType, ['content-encoding', name]],
        };
      if (how === 2)
        return {
          bytes: compressions[other]?.(made) ?? made,
          headers: [...contentType, ['content-encoding', `${name}, ${other}`]],
        };
      if (how === 3)
        return {
          bytes: Buffer.concat([made, made]),
          headers: [...contentType, ['content-encoding', name]],
        };
      return { bytes: made, headers: [...contentType, ['content-encoding', name]] };
    });
  return fc.oneof(
    { weight: 12, arbitrary: fc.constant({ bytes, headers: contentType }) },
    compressed,
  );
}

const oddPath: fc.Arbitrary<HttpInput> = fc
  .record({
    method: fc.constantFrom(...METHODS),
    path: fc.oneof(
      fc.constantFrom(
        '/v1',
        '/v1/',
        '//',
        '/v1//captions',
        '/v1/captions/',
        '/V1/captions',
        '/%2e%2e/x',
        '/cdn-cgi/explorer/',
        '/cdn-cgi/trace',
        '/.env',
        '/favicon.ico',
        '/robots.txt',
        '/v1/captions%00',
        '/problems/',
        '/problems/__proto__',
        '/healthz/x',
        '/*',
      ),
      hostileString.map((text) => `/${escaped(text)}`),
    ),
  })
  .map(({ method, path }) => ({
    method,
    target: path,
    headers: [],
    body: new Uint8Array(),
    cuts: [],
    leaveAfter: null,
  }));
