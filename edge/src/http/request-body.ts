/** Reads the forms of a request with an image into one: the source of the image, and the other fields. */
import { isAscii } from 'node:buffer';
import { ApiError } from '@blip2/shared/errors';
import { checkImage, sniff } from '@blip2/shared/image-format';
import { RequestImage } from '@blip2/shared/schemas/image';
import { validate } from '@blip2/shared/validate';
import type * as z from 'zod/mini';
import type { Config } from '../config.ts';
import { checkRawBody } from '../image/check-raw-body.ts';
import {
  type ImageSource,
  isImageAddress,
  sourceFromReference,
  sourceFromText,
} from '../image/image-source.ts';
import {
  asAddress,
  asForm,
  asImage,
  asJson,
  asParts,
  asUrlEncoded,
  type Reading,
} from './body-reading.ts';
import { looksBinary } from './decode-text.ts';
import { fieldsFromForm } from './form-fields.ts';
import { parseHeaderValue } from './header-value.ts';
import { MAX_TEXT_BYTES } from './json-structure.ts';
import { isJsonType } from './media-type.ts';
import type { Part } from './multipart.ts';
import { type ReadLimits, readDecoded } from './read-decoded.ts';
import { parseUrlEncoded } from './url-encoded.ts';
import { WholeRequest } from './whole-request.ts';

type Limits = Pick<Config, 'maxImageBytes' | 'maxBodyBytes'> & ReadLimits;

/** What a route reads. */
export type RequestForm<Fields> = {
  /** All members of the request, the image's too: it gives the texts of forms and query strings their types. */
  schema: z.core.$ZodType;
  /** Validates the fields other than the image, before the image is decoded or fetched. */
  check: (fields: Record<string, unknown>) => Fields;
};

/** What was read. */
type Received<Fields> = { source: ImageSource | undefined; fields: Fields };

/**
 * The request of a route that needs an image.
 * @throws ApiError `no-image`, and what `readRequest` throws
 */
export async function readImageRequest<Fields>(
  request: Request,
  limits: Limits,
  form: RequestForm<Fields>,
): Promise<{ source: ImageSource; fields: Fields }> {
  const { source, fields } = await readRequest(request, limits, form);
  return { source: requireImage(source), fields };
}

/** @throws ApiError `no-image` */
export function requireImage(source: ImageSource | undefined): ImageSource {
  return source ?? sourceFromReference(undefined);
}

/**
 * Reads multipart/form-data, application/x-www-form-urlencoded, JSON, or an image as a raw body of any type, compressed
 * or not. Options of a raw body are in the query string; in the other forms a field of the body wins over the query string.
 * What the bytes are counts, not what they are called: clients send types without being asked (`curl -d` says that JSON is
 * a form, `fetch` that it is text).
 * @throws ApiError `invalid-request`, `invalid-json`, `invalid-multipart`, `body-too-large`, `unsupported-media-type`,
 *   `unsupported-content-encoding`, `invalid-content-encoding`, `deadline-exceeded` for an upload that does not end,
 *   `overloaded` for one that does not fit beside others, and what is wrong with the way the image is sent
 * @example
 * const form = { schema: CaptionRequest, check: (fields) => validate(CaptionOptions, fields) };
 * const { source, fields } = await readRequest(request, config, form);
 * // POST /v1/captions?max_tokens=9, content-type: image/png
 * // → source: { kind: 'bytes', bytes }, fields: { max_tokens: 9 }
 */
export async function readRequest<Fields>(
  request: Request,
  limits: Limits,
  { schema, check }: RequestForm<Fields>,
): Promise<Received<Fields>> {
  const query = fieldsFromForm(parseUrlEncoded(new URL(request.url).search.slice(1)), schema);
  const { value: type, parameters } = parseHeaderValue(request.headers.get('content-type'));
  const charset = parameters.get('charset');
  const fromMembers = (members: Record<string, unknown>): Received<Fields> => {
    const { image, ...others } = { ...query, ...members };
    const fields = check(others);
    return { source: sourceFromMember(image), fields };
  };

  const checkQuery = () => {
    if (query.image === undefined) return check(query);
    const detail = 'The body is an image, and the query string names another: send one of them.';
    throw new ApiError('several-images', detail, { field: 'image' });
  };

  const fromImage = (body: Uint8Array<ArrayBuffer>): Received<Fields> => {
    // First: what is in a body that is not read may well be the fields that seem to be missing.
    checkRawBody(type, body);
    checkImage(body, { maxBytes: limits.maxImageBytes, field: 'image' });
    return { source: { kind: 'bytes', bytes: body }, fields: checkQuery() };
  };

  const read = async (
    limit: number,
    readingOf: (body: Uint8Array<ArrayBuffer>) => Reading<ParsedBody>,
  ) => {
    const parsed = await readDecoded(request, limit, limits, readingOf);
    return parsed.image ? fromImage(parsed.image) : fromMembers(parsed.members);
  };

  if (isJsonType(type)) {
    return await read(limits.maxBodyBytes, (body) =>
      isImage(body) ? asImage(body) : asJson(body, charset),
    );
  }
  if (type === 'multipart/form-data') {
    return await read(limits.maxBodyBytes, (body) =>
      isImage(body) ? asImage(body) : asForm(body, parameters.get('boundary'), schema),
    );
  }
  if (isEmpty(request)) {
    throw new ApiError('no-image', 'The body is empty: send an image.', { field: 'image' });
  }
  if (TYPES_BY_DEFAULT.has(type)) {
    return await read(limits.maxBodyBytes, (body) => {
      if (looksLikeObject(body)) return asJson(body, charset);
      if (type === FORM_TYPE && !looksBinary(body)) return asUrlEncoded(body, charset, schema);
      return asImage(body);
    });
  }
  // What is called an image needs no upload where its fields are wrong.
  if (type.startsWith('image/')) checkQuery();
  return await read(limits.maxImageBytes, asImage);
}

/** What a body is, before anything is made of its texts. */
type ParsedBody =
  | { image: Uint8Array<ArrayBuffer>; members?: never }
  | { members: Record<string, unknown>; image?: never };

/**
 * A body that is JSON, whatever its `Content-Type` says.
 * @throws ApiError `invalid-request`, `invalid-json`, `body-too-large`, and what is wrong with its compression
 */
export async function readJsonObject(
  request: Request,
  limits: Pick<Limits, 'maxBodyBytes'> & ReadLimits,
): Promise<Record<string, unknown>> {
  const { parameters } = parseHeaderValue(request.headers.get('content-type'));
  const { members } = await readDecoded(request, limits.maxBodyBytes, limits, (body) =>
    asJson(body, parameters.get('charset')),
  );
  return members;
}

/**
 * Such a body where there is one; no members where there is none.
 * @param nullable names of members that may be null, where that says something
 * @throws ApiError as `readJsonObject`
 */
export async function readAnyJsonObject(
  request: Request,
  limits: Pick<Limits, 'maxBodyBytes'> & ReadLimits,
  nullable: readonly string[] = [],
): Promise<Record<string, unknown>> {
  const { parameters } = parseHeaderValue(request.headers.get('content-type'));
  const parsed = await readDecoded(
    request,
    limits.maxBodyBytes,
    limits,
    (body): Reading<ParsedBody> =>
      body.length === 0 ? asImage(body) : asJson(body, parameters.get('charset'), nullable),
  );
  return parsed.members ?? {};
}

/**
 * The parts of a body that is a form with files.
 * @throws ApiError `invalid-multipart`, `body-too-large`, `unsupported-media-type`, and what is wrong with its compression
 */
export async function readParts(
  request: Request,
  limits: Pick<Limits, 'maxBodyBytes'> & ReadLimits,
): Promise<Part[]> {
  const { value: type, parameters } = parseHeaderValue(request.headers.get('content-type'));
  if (type !== 'multipart/form-data') {
    const detail = 'Send the file in a form, as multipart/form-data.';
    throw new ApiError('unsupported-media-type', detail);
  }
  return await readDecoded(request, limits.maxBodyBytes, limits, (body) =>
    asParts(body, parameters.get('boundary')),
  );
}

/** A body that is JSON, an image, or the address of one. */
export type ImageOrJson =
  | { kind: 'json'; members: Record<string, unknown> }
  | { kind: 'image'; source: ImageSource };

/**
 * What the bytes are counts, not what they are called.
 * @throws ApiError `no-image` for an empty body, `unsupported-media-type`, `invalid-image`, `image-too-large`, and what
 *   `readJsonObject` throws
 */
export async function readImageOrJson(request: Request, limits: Limits): Promise<ImageOrJson> {
  const { value: type, parameters } = parseHeaderValue(request.headers.get('content-type'));
  const parsed = await readDecoded(
    request,
    limits.maxBodyBytes,
    limits,
    (body): Reading<ParsedBody | { url: string; body: Uint8Array<ArrayBuffer> }> => {
      if (looksLikeObject(body) || (body.length > 0 && isJsonType(type) && !isImage(body))) {
        return asJson(body, parameters.get('charset'));
      }
      return looksLikeAddress(body) ? asAddress(body) : asImage(body);
    },
  );
  if ('url' in parsed && isImageAddress(parsed.url)) {
    return { kind: 'image', source: sourceFromText(parsed.url, 'inputs') };
  }
  if ('members' in parsed && parsed.members) return { kind: 'json', members: parsed.members };
  const bytes = 'url' in parsed ? parsed.body : parsed.image;
  if (bytes.length === 0) {
    throw new ApiError('no-image', 'The body is empty: send an image, or JSON.', {
      field: 'image',
    });
  }
  if (type === 'multipart/form-data' && !isImage(bytes)) {
    const detail = 'A form is not read here: send the image itself as the body, or JSON.';
    throw new ApiError('unsupported-media-type', detail);
  }
  checkRawBody(type, bytes, 'and JSON');
  checkImage(bytes, { maxBytes: limits.maxImageBytes, field: 'inputs' });
  return { kind: 'image', source: { kind: 'bytes', bytes } };
}

const FORM_TYPE = 'application/x-www-form-urlencoded';
/** What common clients call a body whose type nobody set. */
const TYPES_BY_DEFAULT = new Set(['', FORM_TYPE, 'text/plain', 'application/octet-stream']);

function isEmpty(request: Request): boolean {
  if (request instanceof WholeRequest) return request.whole.length === 0;
  return request.body === null || request.headers.get('content-length') === '0';
}

const BRACE = 0x7b;
/** An object of JSON, as most bodies are, begins as no image does. */
const isImage = (body: Uint8Array): boolean => body[0] !== BRACE && sniff(body).kind === 'image';

/** @param image a reference, a text, the bytes of a file, or undefined */
function sourceFromMember(image: unknown): ImageSource | undefined {
  if (image === undefined) return undefined;
  if (image instanceof Uint8Array) {
    return { kind: 'bytes', bytes: image as Uint8Array<ArrayBuffer> };
  }
  const reference = validate(RequestImage, image, 'image');
  return typeof reference === 'string'
    ? sourceFromText(reference, 'image')
    : sourceFromReference(reference);
}

/** JSON text of an object, a byte order mark and white space before it aside. */
function looksLikeObject(body: Uint8Array): boolean {
  return /^(\xef\xbb\xbf)?\s*\{/.test(String.fromCharCode(...body.subarray(0, 64)));
}

/** Whether it is worth its while to make a text of a body. */
function looksLikeAddress(body: Uint8Array): boolean {
  const head = String.fromCharCode(...body.subarray(0, 256));
  if (looksBinary(body) || !/^(\xef\xbb\xbf)?\s*(data:|https?:)/i.test(head)) return false;
  return body.length <= MAX_TEXT_BYTES || isAscii(body);
}
