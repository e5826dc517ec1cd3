/** Reads the three forms of a request with an image into one: the source of the image, and the other fields. */
import { ApiError } from '@blip2/shared/errors';
import { ImageReference } from '@blip2/shared/schemas/image';
import type { Config } from '../config.ts';
import { checkRawBody } from '../image/check-raw-body.ts';
import { type ImageSource, sourceFromReference } from '../image/image-source.ts';
import { mediaType } from './media-type.ts';
import { readLimited } from './read-limited.ts';
import { validate } from './validate.ts';

type Limits = Pick<Config, 'maxImageBytes' | 'maxBodyBytes'>;

/** Validates the fields other than the image, before the image is read. */
type Check<Fields> = (fields: Record<string, unknown>) => Fields;

/**
 * The request of a route that needs an image.
 * @throws ApiError `no-image`, and what `readRequest` throws
 */
export async function readImageRequest<Fields>(
  request: Request,
  limits: Limits,
  check: Check<Fields>,
): Promise<{ source: ImageSource; fields: Fields }> {
  const { source, fields } = await readRequest(request, limits, check);
  return { source: requireImage(source), fields };
}

/** @throws ApiError `no-image` */
export function requireImage(source: ImageSource | undefined): ImageSource {
  return source ?? sourceFromReference(undefined);
}

/**
 * Reads multipart/form-data, application/json, or an image as a raw body of any other type. Options of a raw body are in
 * the query string; in the other forms a field of the body wins over the query string.
 * @throws ApiError `invalid-request`, `invalid-json`, `body-too-large`, `unsupported-media-type`, and what is wrong with
 *   the way the image is sent
 * @example
 * const { source, fields } = await readRequest(request, config, (fields) => validate(CaptionOptions, fields));
 * // POST /v1/captions?max_tokens=9, content-type: image/png
 * // → source: { kind: 'bytes', bytes }, fields: { max_tokens: 9 }
 */
export async function readRequest<Fields>(
  request: Request,
  limits: Limits,
  check: Check<Fields>,
): Promise<{ source: ImageSource | undefined; fields: Fields }> {
  const query = fieldsFromText([...new URL(request.url).searchParams]);
  const type = mediaType(request.headers.get('content-type'));
  if (type === 'application/json') {
    const { image, ...members } = await readJson(request, limits.maxBodyBytes);
    const fields = check({ ...query, ...members });
    if (image === undefined) return { source: undefined, fields };
    return { source: sourceFromReference(validate(ImageReference, image, 'image')), fields };
  }
  if (type === 'multipart/form-data') {
    const form = await readForm(request, limits.maxBodyBytes);
    const fields = check({ ...query, ...form.fields });
    return { source: { kind: 'bytes', bytes: await onlyImage(form.images) }, fields };
  }
  if (isEmpty(request)) {
    throw new ApiError('no-image', 'The body is empty: send an image.', { field: 'image' });
  }
  const fields = check(query);
  const bytes = await readLimited(request, limits.maxImageBytes);
  checkRawBody(type, bytes);
  return { source: { kind: 'bytes', bytes }, fields };
}

function isEmpty(request: Request): boolean {
  return request.body === null || request.headers.get('content-length') === '0';
}

async function readJson(request: Request, limit: number): Promise<Record<string, unknown>> {
  const bytes = await readLimited(request, limit);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (cause) {
    throw new ApiError('invalid-json', 'The body is not valid JSON.', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError('invalid-request', 'The body must be a JSON object.');
  }
  return value as Record<string, unknown>;
}

type Form = { images: File[]; fields: Record<string, unknown> };

async function readForm(request: Request, limit: number): Promise<Form> {
  const bytes = await readLimited(request, limit);
  const contentType = request.headers.get('content-type') ?? '';
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { 'content-type': contentType } }).formData();
  } catch (cause) {
    throw new ApiError('invalid-request', 'The multipart body cannot be read.', { cause });
  }
  const images: File[] = [];
  const texts: [string, string][] = [];
  for (const [name, value] of form) {
    if (name === 'image') {
      if (typeof value === 'string') {
        throw new ApiError('invalid-request', 'image: must be a file.', { field: 'image' });
      }
      images.push(value);
    } else if (typeof value === 'string') {
      texts.push([name, value]);
    } else {
      const detail = `${name}: a file of this name is not accepted; send the image as image.`;
      throw new ApiError('invalid-request', detail, { field: name });
    }
  }
  return { images, fields: fieldsFromText(texts) };
}

async function onlyImage(images: File[]): Promise<Uint8Array<ArrayBuffer>> {
  const [image, ...more] = images;
  if (image === undefined) {
    throw new ApiError('no-image', 'Send the image as a file with the name image.', {
      field: 'image',
    });
  }
  if (more.length > 0) {
    throw new ApiError('several-images', 'Send one file with the name image.', { field: 'image' });
  }
  return new Uint8Array(await image.arrayBuffer());
}

/** Fields that are text, even where it reads as a number. */
const TEXT_FIELDS = new Set(['prompt', 'question', 'stop']);
/** Fields that are JSON. */
const JSON_FIELDS = new Set(['history', 'texts']);

/** Parses text values into JSON values. What cannot be parsed stays text: the schema refuses it. */
function fieldsFromText(entries: [string, string][]): Record<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const [name, text] of entries) {
    if (fields.has(name)) {
      throw new ApiError('invalid-request', `${name} is given twice.`, { field: name });
    }
    fields.set(name, valueFromText(name, text));
  }
  return Object.fromEntries(fields);
}

function valueFromText(name: string, text: string): unknown {
  if (TEXT_FIELDS.has(name)) return text;
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === 'true' || text === 'false') return text === 'true';
  if (JSON_FIELDS.has(name)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}
