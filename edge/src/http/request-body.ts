/** The three forms of a request with an image, brought to one: a source and the fields beside it. */
import { ApiError } from '@blip2/shared/errors';
import { ImageReference } from '@blip2/shared/schemas/image';
import type { Settings } from '../config.ts';
import { type ImageSource, sourceFromReference } from '../image/image-source.ts';
import { checkImageType, mediaType, readLimited } from '../image/sniff-format.ts';
import { validate } from './validate.ts';

type Limits = Pick<Settings, 'maxImageBytes' | 'maxBodyBytes'>;

/**
 * The same for routes that cannot do without an image.
 * @throws ApiError `no-image`
 */
export async function readBody<Fields>(
  request: Request,
  limits: Limits,
  check: (fields: Record<string, unknown>) => Fields,
): Promise<{ source: ImageSource; fields: Fields }> {
  const { source, fields } = await readOptionalImage(request, limits, check);
  return { source: required(source), fields };
}

/** @throws ApiError `no-image` */
export function required(source: ImageSource | undefined): ImageSource {
  return source ?? sourceFromReference(undefined);
}

/**
 * Reads a raw `image/*` body, multipart/form-data or application/json. Options of a raw body stand in the
 * query string; in the other forms a field of the body wins over the query string.
 * @param check validates the fields before the image is looked at
 */
export async function readOptionalImage<Fields>(
  request: Request,
  limits: Limits,
  check: (fields: Record<string, unknown>) => Fields,
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
  checkImageType(type);
  const fields = check(query);
  return {
    source: { kind: 'bytes', bytes: await readLimited(request, limits.maxImageBytes) },
    fields,
  };
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
      throw new ApiError('invalid-request', `There is no file ${name}; the image is image.`, {
        field: name,
      });
    }
  }
  return { images, fields: fieldsFromText(texts) };
}

async function onlyImage(images: File[]): Promise<Uint8Array<ArrayBuffer>> {
  const [image, ...more] = images;
  if (image === undefined) {
    throw new ApiError('no-image', 'Send the image as the file image.', { field: 'image' });
  }
  if (more.length > 0) {
    throw new ApiError('several-images', 'Send one file image.', { field: 'image' });
  }
  return new Uint8Array(await image.arrayBuffer());
}

/** Fields that are text, whatever they look like. */
const TEXTS = new Set(['prompt', 'question', 'stop']);

/** Text values as the JSON values they stand for. What does not read as one stays text: the schema refuses it. */
function fieldsFromText(entries: [string, string][]): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, text] of entries) {
    if (Object.hasOwn(fields, name)) {
      throw new ApiError('invalid-request', `${name} is given twice.`, { field: name });
    }
    fields[name] = valueFromText(name, text);
  }
  return fields;
}

function valueFromText(name: string, text: string): unknown {
  if (TEXTS.has(name)) return text;
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === 'true' || text === 'false') return text === 'true';
  if (name === 'history' || name === 'texts') {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}
