/**
 * Which image URLs may be fetched: public http(s) hosts, without credentials.
 *
 * Literal addresses, special names and every redirect hop are checked here, on the `URL` that is then fetched: one
 * parser reads it for both. A public name that resolves to a private address is not found so, as workerd gives a Worker
 * no DNS look-up before `fetch`. What protects against it is the network: Cloudflare's does not route a Worker's fetch
 * into private ranges, and a self-hosted workerd refuses them after resolving, with `network = (allow = ["public"])`.
 * `npm start` binds a network of its own as `IMAGE_NETWORK` (`tools/host-network/`), since its GPU worker is at a private address.
 */
import { ApiError } from '@blip2/shared/errors';
import { isPublicAddress } from './public-address.ts';

/** As many as the longest signed URLs have, several times. */
const MAX_LENGTH = 8192;

const PRIVATE_NAMES =
  /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|onion|home\.arpa)$/;

/** @throws ApiError `image-url-refused` */
export function checkUrlLength(text: string, what = 'The image URL'): void {
  if (text.length <= MAX_LENGTH) return;
  const detail = `${what} has ${text.length} characters; at most ${MAX_LENGTH} are read. Send the bytes.`;
  const limits = { field: 'image.url', limit: MAX_LENGTH, actual: text.length };
  throw new ApiError('image-url-refused', detail, limits);
}

/**
 * @param text a URL, or a redirect's location relative to `base`
 * @example checkImageUrl('http://0x7f000001/', { allowPrivate: false }) // throws: 127.0.0.1 is not public
 * @throws ApiError `image-url-refused`
 */
export function checkImageUrl(text: string, options: { allowPrivate: boolean; base?: URL }): URL {
  const isRedirect = options.base !== undefined;
  const what = isRedirect ? 'The address to which the image URL redirects' : 'The image URL';
  checkUrlLength(text, what);
  const url = URL.parse(text, options.base?.href);
  if (url === null) {
    throw refused(`${what} is not valid: it needs https:// or http://, and a host.`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused(`${what} is neither http nor https. Send the bytes of what is elsewhere.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw refused(`${what} has credentials in it, with which nothing is fetched.`);
  }
  if (!options.allowPrivate && !isPublicHost(url.hostname)) {
    throw refused(`${what} points to a host that is not public.`);
  }
  return url;
}

/** @param hostname as `URL` writes it: lower case, IPv4 in four decimals, IPv6 in brackets */
export function isPublicHost(hostname: string): boolean {
  // Not by an expression: it would begin anew at each dot of a row of very many.
  let end = hostname.length;
  while (hostname[end - 1] === '.') end--;
  const host = hostname.slice(0, end).replace(/^\[(.*)\]$/, '$1');
  // A name of one label is of the local network.
  return isPublicAddress(host) ?? (host.includes('.') && !PRIVATE_NAMES.test(host));
}

function refused(detail: string): ApiError {
  return new ApiError('image-url-refused', detail, { field: 'image.url' });
}
