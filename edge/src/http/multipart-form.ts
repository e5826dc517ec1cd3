/** Makes members of a request of the parts of a multipart body: the image, and the other fields. */
import { ApiError } from '@blip2/shared/errors';
import { memberOf } from '@blip2/shared/schema-kinds';
import { shownName } from '@blip2/shared/validate';
import type * as z from 'zod/mini';
import { decodeText, looksBinary, withLineFeeds } from './decode-text.ts';
import { type FormEntry, fieldsFromForm, TextCount } from './form-fields.ts';
import { parseJsonBytes } from './json-body.ts';
import { MAX_TEXT_BYTES, textTooLong } from './json-structure.ts';
import { JsonTotal } from './json-total.ts';
import { isJsonType } from './media-type.ts';
import { type Part, parseMultipart } from './multipart.ts';

/**
 * The image is the file named `image`, or the only file, whatever its name; an `image` that is text is a URL, SHA-256
 * or base64. A part of type JSON is the value of its field or, where no field has its name, an object of fields.
 * @param schema of all members of the request
 * @returns `image` as bytes where it came as a file
 * @throws ApiError `invalid-multipart`, `invalid-json`, `several-images`, `invalid-request`
 */
export function readMultipart(
  body: Uint8Array<ArrayBuffer>,
  boundary: string | undefined,
  schema: z.core.$ZodType,
): Record<string, unknown> {
  const parts = parseMultipart(body, boundary).filter(({ filename, bytes }) => {
    // What browsers send for a file input that nobody filled.
    return !(filename === '' && bytes.length === 0);
  });
  const isField = ({ name }: Part) => isMember(schema, name);
  const files = parts.filter((part) => isFile(part, isField(part)));
  const image = onlyImage(files);
  const entries: FormEntry[] = [];
  const objects: Record<string, unknown>[] = [];
  const texts = new TextCount();
  const json = new JsonTotal();
  let charset: string | undefined;
  for (const part of parts) {
    if (files.includes(part)) continue;
    const { name, bytes, type } = part;
    const encoding = part.charset ?? charset;
    if (isJsonType(type) && name !== '_charset_') {
      const value = parseJsonBytes(bytes, encoding, name, json);
      if (isField(part) || !isObject(value)) entries.push([name, value]);
      else objects.push(value);
      continue;
    }
    if (bytes.length > MAX_TEXT_BYTES && !IMAGE_NAME.test(name)) {
      throw textTooLong(shownName(name), bytes.length);
    }
    const text = decodeText(bytes, encoding, {
      what: `${shownName(name)}: the text`,
      field: shownName(name),
      slug: 'invalid-request',
    });
    texts.add(text);
    // The charset of all texts without one of their own (RFC 7578, 4.6).
    if (name === '_charset_') charset = text;
    else entries.push([name, withLineFeeds(text)]);
  }
  const fields = mergedOf([fieldsFromForm(entries, schema, json), ...objects]);
  if (image === undefined) return fields;
  if (fields.image !== undefined) throw severalImages(['image', image.name]);
  return { ...fields, image: image.bytes };
}

/** Whether a name is a member's, or of a place within one. */
function isMember(schema: z.core.$ZodType, name: string): boolean {
  return memberOf(schema, name.replace(/[[.].*/s, '')) !== undefined;
}

/** The image's own name, also as PHP and others write a list of files (`image[]`) or a place (`image[data]`). */
const IMAGE_NAME = /^image([[.].*)?$/s;

/** Whether a part is an image's bytes: a text that came as a file, of a field that is text, is not. */
function isFile({ name, filename, type, bytes }: Part, isField: boolean): boolean {
  const isImage = IMAGE_NAME.test(name);
  if (isImage || !isField) {
    const isNamed = filename !== undefined && !(!isImage && isJsonType(type));
    return isNamed || type.startsWith('image/') || looksBinary(bytes);
  }
  return false;
}

function onlyImage(files: readonly Part[]): Part | undefined {
  if (files.length > 1) {
    const other = files.find(({ name }) => !IMAGE_NAME.test(name));
    if (other === undefined || files.every(({ name }) => !IMAGE_NAME.test(name))) {
      throw severalImages(files.map(({ name }) => name));
    }
    const field = shownName(other.name);
    const detail = `${field}: a file of this name is not accepted; send the image alone, as image.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  return files[0];
}

function severalImages(names: readonly string[]): ApiError {
  const list = names.slice(0, 4).map(shownName).join(', ');
  const detail = `Send one file, with the name image; these were sent: ${list}.`;
  return new ApiError('several-images', detail, { field: 'image' });
}

function mergedOf(objects: readonly Record<string, unknown>[]): Record<string, unknown> {
  const members = new Map<string, unknown>();
  for (const [name, value] of objects.flatMap((object) => Object.entries(object))) {
    if (members.has(name)) {
      const field = shownName(name);
      throw new ApiError('invalid-request', `${field} is given twice.`, { field });
    }
    members.set(name, value);
  }
  return Object.fromEntries(members);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
