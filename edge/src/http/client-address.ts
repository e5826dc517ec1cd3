/** Who a request counts as: the caller's address, from the header in which whoever stands in front writes it. */
import { UNNAMED_CLIENT } from '@blip2/shared/wire';
import ipaddr from 'ipaddr.js';
import type { Config } from '../config.ts';

const { IPv4, IPv6 } = ipaddr;

/** What one customer gets of IPv6 at least: who has it chooses all that comes behind. */
const V6_PREFIX_BYTES = 8;

/**
 * A proxy appends the address that it saw to what its caller wrote, so that only the last entries are true: as many as
 * there are trusted proxies. IPv4 addresses count one by one, those of IPv6 by their /64.
 * @example
 * const config = { clientAddressHeader: 'x-forwarded-for', clientAddressHops: 1 };
 * clientOf(new Headers({ 'x-forwarded-for': 'made up, 203.0.113.9' }), config); // '203.0.113.9'
 */
export function clientOf(
  headers: Headers,
  {
    clientAddressHeader: name,
    clientAddressHops: hops,
  }: Pick<Config, 'clientAddressHeader' | 'clientAddressHops'>,
): string {
  if (name === null) return UNNAMED_CLIENT;
  // Of several headers of one name, `get` makes one list in their order.
  return identityOf(fromEnd(headers.get(name) ?? '', hops).trim()) ?? UNNAMED_CLIENT;
}

/** An entry of a list; '' where there is none. Those before it may be many. @param place 1 for the last */
function fromEnd(list: string, place: number): string {
  let end = list.length;
  for (let n = 1; n < place; n++) {
    end = list.lastIndexOf(',', end - 1);
    // Nothing comes before the first comma of all.
    if (end <= 0) return '';
  }
  return list.slice(list.lastIndexOf(',', end - 1) + 1, end);
}

/** Also with a port, as some proxies write it. */
function identityOf(text: string): string | undefined {
  const [, inBrackets] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? [];
  const bare = inBrackets ?? text.replace(/^([\d.]+):\d+$/, '$1');
  if (IPv4.isValidFourPartDecimal(bare)) return IPv4.parse(bare).toString();
  if (!IPv6.isValid(bare)) return undefined;
  const address = IPv6.parse(bare);
  if (address.isIPv4MappedAddress()) return address.toIPv4Address().toString();
  const network = address.toByteArray().fill(0, V6_PREFIX_BYTES);
  return `${ipaddr.fromByteArray(network)}/${V6_PREFIX_BYTES * 8}`;
}
