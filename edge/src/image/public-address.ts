/** Which addresses are public: of `npm start`'s network to hosts, too (`tools/host-network/`). */
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js';

const { isValid, parse, parseCIDR } = ipaddr;
const GLOBAL_UNICAST_V6 = parseCIDR('2000::/3');

/**
 * Whether an address has no special purpose; null for what is no address.
 * @param text IPv4, or IPv6 without brackets
 */
export function isPublicAddress(text: string): boolean | null {
  return isValid(text) ? isPublic(parse(text)) : null;
}

/**
 * Of IPv6 only what is assigned as global unicast, 2000::/3: the rest of the address space has no ordinary hosts, but
 * forms that embed an IPv4 address.
 */
function isPublic(address: IPv4 | IPv6): boolean {
  if (address.kind() === 'ipv6' && !address.match(GLOBAL_UNICAST_V6)) return false;
  return address.range() === 'unicast';
}
