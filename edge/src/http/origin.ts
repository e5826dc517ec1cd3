/** The address by which a caller has reached this service. */

/** It is what the caller says, and is written into replies, many times in some: no host has so many characters. */
const MOST_CHARACTERS = 255;
export const UNKNOWN_ORIGIN = 'https://blip2.example';

/**
 * @param url of the request
 * @returns a placeholder where it is too long to be one
 * @example originOf('https://blip2.example.com/v1/models') // 'https://blip2.example.com'
 */
export function originOf(url: string): string {
  const { origin } = new URL(url);
  return origin.length > MOST_CHARACTERS ? UNKNOWN_ORIGIN : origin;
}
