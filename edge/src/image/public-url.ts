/**
 * Which image URLs may be fetched: public http(s) hosts, without credentials.
 *
 * Literal addresses, special names and every redirect hop are checked here, on the `URL` that is then fetched: one
 * parser reads it for both. A public name that resolves to a private address is not found so, as workerd gives a Worker
 * no DNS look-up before `fetch`. What protects against it is the network: Cloudflare's does not route a Worker's fetch
 * into private ranges, and a self-hosted workerd refuses them after resolving, with `network = (allow = ["public"])`.
 * `npm start` binds such a network as `IMAGE_NETWORK`, since its GPU worker is at a private address.
 */
import { ApiError } from '@blip2/shared/errors';
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js';

const { isValid, parse, parseCIDR } = ipaddr;
const GLOBAL_UNICAST_V6 = parseCIDR('2000::/3');

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
  if (isValid(host)) return isPublicAddress(parse(host));
  // A name of one label is of the local network.
  return host.includes('.') && !PRIVATE_NAMES.test(host);
}

/**
 * Whether an address has no special purpose. Of IPv6 only what is assigned as global unicast, 2000::/3: the rest of the
 * address space has no ordinary hosts, but forms that embed an IPv4 address.
 */
function isPublicAddress(address: IPv4 | IPv6): boolean {
  if (address.kind() === 'ipv6' && !address.match(GLOBAL_UNICAST_V6)) return false;
  return address.range() === 'unicast';
}

function refused(detail: string): ApiError {
  return new ApiError('image-url-refused', detail, { field: 'image.url' });
}
