/**
 * Which image URLs may be fetched: public http(s) hosts, without credentials.
 *
 * workerd gives a Worker no DNS look-up before `fetch`, so a public name that resolves to a private address
 * cannot be seen here. What stands behind this check: Cloudflare's network does not route a Worker's fetch
 * into private ranges, and a self-hosted workerd refuses them after resolving with `network = (allow =
 * ["public"])`, its default. The workerd of `npm start` allows them, since the GPU worker is at a private address: it is
 * for one's own machine. Literals, special names and every redirect hop are checked here.
 */
import { ApiError } from '@blip2/shared/errors';

/** First address and prefix length of the IPv4 ranges that are not public (RFC 6890 and multicast). */
const NOT_PUBLIC_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const;

const PRIVATE_NAMES =
  /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|onion|home\.arpa)$/;

/**
 * @param text a URL, or a redirect's location relative to `base`
 * @throws ApiError `image-url-refused`
 */
export function checkImageUrl(text: string, options: { allowPrivate: boolean; base?: URL }): URL {
  const url = URL.parse(text, options.base?.href);
  if (url === null) throw refused('The image URL is not valid.');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused('Only http and https image URLs are fetched.');
  }
  if (url.username !== '' || url.password !== '') {
    throw refused('Image URLs with credentials are not fetched.');
  }
  if (!options.allowPrivate && !isPublicHost(url.hostname)) {
    throw refused('The image URL points to a host that is not public.');
  }
  return url;
}

/** @param hostname as `URL` writes it: lower case, IPv4 in four decimals, IPv6 in brackets */
function isPublicHost(hostname: string): boolean {
  const host = hostname.replace(/\.+$/, '');
  if (host.startsWith('[')) return isPublicV6(host.slice(1, -1));
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) return isPublicV4(host);
  // A name of one label is of the local network.
  return host.includes('.') && !PRIVATE_NAMES.test(host);
}

function isPublicV4(address: string): boolean {
  const value = toNumber(address);
  return !NOT_PUBLIC_V4.some(([first, prefix]) => {
    const size = 2 ** (32 - prefix);
    return Math.floor(value / size) === Math.floor(toNumber(first) / size);
  });
}

function toNumber(address: string): number {
  return address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

/**
 * Only global unicast, 2000::/3: loopback, link-local, unique local, multicast, IPv4-mapped and NAT64 lie
 * outside. Refused inside: 2001::/23 (Teredo and other protocol assignments), 2001:db8::/32, 2002::/16
 * (6to4), 3fff::/20, which are tunnels or documentation.
 */
function isPublicV6(address: string): boolean {
  const head = address.split('::', 1)[0] ?? '';
  const [first = 0, second = 0] =
    head === '' ? [] : head.split(':').map((g) => Number.parseInt(g, 16));
  if (first < 0x2000 || first > 0x3fff) return false;
  if (first === 0x2001 && (second < 0x0200 || second === 0x0db8)) return false;
  return first !== 0x2002 && !(first === 0x3fff && second < 0x1000);
}

function refused(detail: string): ApiError {
  return new ApiError('image-url-refused', detail, { field: 'image.url' });
}
