/** The errors of fetching an image from its URL: each failure of a host with its own cause and remedy. */
import { ApiError } from '@blip2/shared/errors';
import { refusalOf, type Sniffed } from '@blip2/shared/image-format';
import { type InflatesTooMuch, MAX_RATIO } from '../http/content-encoding.ts';

const field = 'image.url';

export function failed(detail: string, cause?: unknown): ApiError {
  return new ApiError('image-url-failed', detail, { field, cause });
}

/** One that another try may not meet: for those who have time, as jobs have. */
export class PassingFailure extends ApiError {
  constructor(detail: string, cause?: unknown) {
    super('image-url-failed', detail, { field, cause });
  }
}

export function redirectFailure(how: string): ApiError {
  return failed(`The image URL redirects ${how}. Use the address at which the image is.`);
}

/** @param hasBegun whether the host had replied */
export function timeoutFailure(milliseconds: number, hasBegun: boolean, cause: unknown): ApiError {
  const late = hasBegun ? 'had not sent all of the image' : 'had not replied';
  const detail = `The host of the image URL ${late} after ${milliseconds} ms. Try again, use another host, or send the bytes.`;
  return new PassingFailure(detail, cause);
}

/** @param error `body-too-large` of whoever read the reply */
export function tooLargeFailure({ slug, extras }: ApiError): ApiError {
  const { limit, actual } = extras;
  const size = actual === undefined ? `more than ${limit} bytes` : `${actual} bytes or more`;
  const detail = `The image at the URL has ${size}; at most ${limit} are accepted. Use the address of a smaller one.`;
  return new ApiError(slug, detail, { ...extras, field });
}

/** @param error of whoever inflated the reply: its limit follows from the bytes that came, and is none of images */
export function inflationFailure(error: InflatesTooMuch): ApiError {
  const detail = `The host of the image URL sends a compressed reply (Content-Encoding), which becomes more than ${MAX_RATIO} times as large when it is inflated: that is not accepted, however large the image is. Use an address that sends the image uncompressed, or send the bytes.`;
  return new ApiError(error.slug, detail, { field, cause: error });
}

/** @param coding that is not read */
export function codingFailure(coding: string): ApiError {
  return failed(
    `The host of the image URL compresses its reply (Content-Encoding: ${coding}) though it is asked for the image as it is, and that coding is not read. Use an address that sends the image uncompressed, or send the bytes.`,
  );
}

/** @param cause what reading the reply threw */
export function transferFailure(cause: unknown): ApiError {
  const isDamaged = cause instanceof ApiError || /decompress/i.test(String(cause));
  const what = isDamaged
    ? 'The host of the image URL called its reply compressed, and it is not, or is damaged.'
    : 'The transfer from the host of the image URL ended before the image was complete.';
  const detail = `${what} Try again, or send the bytes.`;
  return isDamaged ? failed(detail, cause) : new PassingFailure(detail, cause);
}

export function emptyFailure(status: number): ApiError {
  const detail = `The host of the image URL replied with status ${status} and no bytes. Check the URL in a browser, or send the bytes.`;
  return failed(detail);
}

/** What a status means for whoever sent the URL. The statuses from 520 are Cloudflare's, for a host that it cannot reach. */
const STATUSES: Record<number, string> = {
  401: 'it wants a sign-in. Use a URL that needs none, or send the bytes',
  402: 'it wants to be paid. Send the bytes',
  403: 'it refuses access. The URL may need a sign-in, may have expired, or the host refuses programs; send the bytes',
  404: 'nothing is there. Check the URL in a browser without being signed in',
  405: 'it does not let the URL be read. Use the address of the image itself',
  406: 'it has the image in no form that was asked for. Send the bytes',
  407: 'it wants a sign-in at a proxy. Send the bytes',
  408: 'it gave up waiting. Try again',
  410: 'the image is gone for good. Use another URL',
  421: 'it does not serve this name. Check the URL',
  429: 'it limits how often it is asked. Try again later, or send the bytes',
  451: 'it may not show the image for legal reasons. Use another one',
  520: 'it sent no valid reply. Try again, or send the bytes',
  521: 'it refuses connections. Check the host and the port of the URL, or send the bytes',
  522: 'it could not be reached in time. Try again, or send the bytes',
  523: 'it cannot be reached. Check the host of the URL, or send the bytes',
  524: 'it did not reply in time. Try again, or send the bytes',
  525: 'a secure connection to it failed. Check that the URL opens in a browser without a warning',
  526: 'its certificate is not valid. Check that the URL opens in a browser without a warning',
  530: 'its name does not resolve, or it cannot be reached. Check the spelling of the URL',
};

export function statusFailure(status: number): ApiError {
  const detail = `The host of the image URL replied with status ${status}: ${meaningOf(status)}.`;
  return isPassing(status) ? new PassingFailure(detail) : failed(detail);
}

/** Names that do not resolve and certificates that are not valid, as Cloudflare reports them, stay so. */
const LASTING = new Set([501, 505, 525, 526, 530]);

function isPassing(status: number): boolean {
  if (status >= 500) return !LASTING.has(status);
  return status === 408 || status === 425 || status === 429;
}

function meaningOf(status: number): string {
  const meaning = STATUSES[status];
  if (meaning !== undefined) return meaning;
  if (status >= 500) return 'it has a fault. Try again later, or send the bytes';
  if (status >= 400) return 'it refuses the request. Check the URL in a browser, or send the bytes';
  return 'it sends no image. Use the address at which the image is';
}

/** @param reply the host's; the media type is what it says, '' where it says nothing */
export function noImageFailure(
  sniffed: Exclude<Sniffed, { kind: 'image' }>,
  { status, type }: { status: number; type: string },
): ApiError {
  const label = type === '' ? 'without a content-type' : `as ${type.slice(0, 100)}`;
  const found = foundAtUrl(sniffed);
  const detail = `The host of the image URL replied with status ${status} ${label}. ${found}`;
  return sniffed.kind === 'other-image'
    ? new ApiError('unsupported-media-type', detail, { field })
    : failed(detail);
}

function foundAtUrl(sniffed: Exclude<Sniffed, { kind: 'image' }>): string {
  if (sniffed.kind === 'unknown') {
    return 'Its bytes begin as no image does. Check the URL in a browser without being signed in.';
  }
  if (sniffed.kind !== 'other-form') return refusalOf(sniffed);
  return `This is ${sniffed.name}, not an image. Use the address of the image itself, or send the bytes.`;
}
