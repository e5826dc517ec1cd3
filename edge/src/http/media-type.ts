/** The media type of a `Content-Type` header. */
import { parseHeaderValue } from './header-value.ts';

/** Media type without its parameters, in lower case; '' where there is none. */
export function mediaType(header: string | null | undefined): string {
  return parseHeaderValue(header).value;
}

/** @example isJsonType('application/ld+json') // true */
export function isJsonType(type: string): boolean {
  return type === 'application/json' || type === 'text/json' || /^[^/]+\/.+\+json$/.test(type);
}
