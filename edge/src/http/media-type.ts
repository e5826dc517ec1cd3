/** The media type of a `Content-Type` header. */

/** Media type without its parameters, in lower case; '' where there is none. */
export function mediaType(header: string | null | undefined): string {
  return (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}
