/** A line of a manifest: an image, and members of its request. */

import { ApiError } from '@blip2/shared/errors';
import { MAX_ITEM_ID } from '@blip2/shared/schemas/jobs/request';

export type PartImage =
  | { kind: 'url'; url: string }
  | { kind: 'path'; path: string }
  | { kind: 'object'; address: string }
  | { kind: 'data'; data: string };

export type PartLine = { id: string; image: PartImage; members: Record<string, unknown> };

/**
 * A line that is no JSON is the image itself: an https URL, s3://bucket/key, or a path. As JSON it is an item, as jobs have them, whose
 * image may also be `{"path": "…"}`.
 * @param number of the line in the part's manifest, by which it is named without an `id`
 * @throws ApiError `invalid-request`
 */
export function readPartLine(text: string, number: number): PartLine {
  const line = text.trim();
  if (!line.startsWith('{')) {
    const id = line.length <= MAX_ITEM_ID ? line : String(number);
    return { id, image: imageOf(line), members: {} };
  }
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line);
  } catch {
    throw invalid('The line begins as JSON, and is none.');
  }
  const { id = String(number), image, ...members } = value;
  if (typeof id !== 'string' || id === '' || id.length > 2 * MAX_ITEM_ID) {
    throw invalid(`id: must be a text of 1 to ${2 * MAX_ITEM_ID} characters.`, 'id');
  }
  return { id, image: imageIn(image), members };
}

function imageIn(image: unknown): PartImage {
  if (typeof image === 'string') return imageOf(image);
  const [[name, value] = [], ...others] = Object.entries(image ?? {});
  if (others.length === 0 && typeof value === 'string') {
    if (name === 'url') return imageOf(value);
    if (name === 'path') return { kind: 'path', path: value };
    if (name === 'data') return { kind: 'data', data: value };
  }
  const detail =
    'image: must be a URL, a path, or an object with exactly one of url, path and data.';
  throw invalid(detail, 'image');
}

function imageOf(text: string): PartImage {
  if (/^https?:\/\//i.test(text)) return { kind: 'url', url: text };
  if (text.startsWith('s3://')) return { kind: 'object', address: text };
  if (text.startsWith('data:')) return { kind: 'data', data: text };
  return { kind: 'path', path: text };
}

function invalid(detail: string, field?: string): ApiError {
  return new ApiError('invalid-request', detail, field === undefined ? {} : { field });
}
