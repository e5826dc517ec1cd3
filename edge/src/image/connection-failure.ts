/** Why no reply came from the host of an image URL, as far as the network that is bound says, or workerd can be made to say. */
import type { ApiError } from '@blip2/shared/errors';
import { shownName } from '@blip2/shared/validate';
import type { Platform } from '../platform.ts';
import { failed, PassingFailure } from './fetch-failures.ts';
import { HOST_FAILURE, HOST_FAILURES, HostFailure } from './host-failure.ts';

/**
 * Fetches over a bound network, which may say itself why a host sent no reply.
 * @throws HostFailure; what the network throws
 */
export function overNetwork(network: Fetcher): Platform['fetch'] {
  return async (url, init) => {
    const response = await network.fetch(url, init);
    const said = response.headers.get(HOST_FAILURE);
    const reason = HOST_FAILURES.find((each) => each === said);
    if (reason === undefined) return response;
    response.body?.cancel().catch(() => {});
    throw new HostFailure(reason);
  };
}

/**
 * A network that says it is believed. workerd itself has one error for a connection that is refused and one that ends before a reply, and one for a name that
 * does not resolve and TLS that fails. The latter two are distinguished by a second request, without TLS, to the same port:
 * it fails in the same way only where there is no address, or none that a self-hosted workerd may connect to.
 *
 * On Cloudflare's network all of these are replies instead, with a status from 520 (`statusFailure`).
 * @param thrown by the fetch of `url`
 * @param probe fetches another URL with the same limits
 */
export async function explainConnection(
  thrown: unknown,
  url: URL,
  probe: (url: URL) => Promise<Response>,
): Promise<ApiError> {
  if (isLost(thrown)) return new PassingFailure(LOST, thrown);
  if (!isUnreached(thrown)) return new PassingFailure(UNREACHABLE, thrown);
  const isInsecure =
    thrown instanceof HostFailure
      ? thrown.reason === 'insecure'
      : url.protocol === 'https:' && (await hasAddress(url, probe));
  if (isInsecure) return failed(INSECURE, thrown);
  const detail = `The name of the host of the image URL, ${shownName(url.hostname)}, does not resolve to a public address. Check its spelling, or send the bytes.`;
  return failed(detail, thrown);
}

const LOST =
  'The host of the image URL refused the connection, or closed it without a valid reply. Check host and port of the URL, or send the bytes.';
const INSECURE =
  'A secure connection to the host of the image URL failed: its certificate is expired, is not for this name or is signed by nobody known, or it speaks no TLS. Check that the URL opens in a browser without a warning, or send the bytes.';
const UNREACHABLE =
  'The host of the image URL could not be reached. Check the URL in a browser, or send the bytes.';

/** Whether a connection was refused, or ended before a reply. */
export const isLost = (thrown: unknown) =>
  thrown instanceof HostFailure
    ? thrown.reason === 'lost'
    : /connection (lost|refused)/i.test(String(thrown));
/** Whether a name does not resolve, or TLS fails. */
export const isUnreached = (thrown: unknown) =>
  thrown instanceof HostFailure ? thrown.reason !== 'lost' : isInternal(thrown);

/** workerd's words for both. */
const isInternal = (thrown: unknown) => /internal error/i.test(String(thrown));

async function hasAddress(url: URL, probe: (url: URL) => Promise<Response>): Promise<boolean> {
  const plain = new URL(`http://${url.hostname}:${url.port || 443}/`);
  try {
    const response = await probe(plain);
    response.body?.cancel().catch(() => {});
    return true;
  } catch (again) {
    return !isInternal(again);
  }
}
