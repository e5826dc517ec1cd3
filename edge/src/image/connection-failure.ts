/** Why no reply came from the host of an image URL, as far as workerd can be made to say. */
import type { ApiError } from '@blip2/shared/errors';
import { shownName } from '@blip2/shared/validate';
import { failed, PassingFailure } from './fetch-failures.ts';

/**
 * workerd has one error for a connection that is refused and one that ends before a reply, and one for a name that
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
  if (!isInternal(thrown)) return new PassingFailure(UNREACHABLE, thrown);
  if (url.protocol === 'https:' && (await hasAddress(url, probe))) return failed(INSECURE, thrown);
  const detail = `The name of the host of the image URL, ${shownName(url.hostname)}, does not resolve to a public address. Check its spelling, or send the bytes.`;
  return failed(detail, thrown);
}

const LOST =
  'The host of the image URL refused the connection, or closed it without a valid reply. Check host and port of the URL, or send the bytes.';
const INSECURE =
  'A secure connection to the host of the image URL failed: its certificate is expired, is not for this name or is signed by nobody known, or it speaks no TLS. Check that the URL opens in a browser without a warning, or send the bytes.';
const UNREACHABLE =
  'The host of the image URL could not be reached. Check the URL in a browser, or send the bytes.';

/** workerd's words for a connection that is refused, or ends before a reply. */
export const isLost = (thrown: unknown) => /connection (lost|refused)/i.test(String(thrown));
/** Its words for a name that does not resolve, and for TLS that fails. */
export const isInternal = (thrown: unknown) => /internal error/i.test(String(thrown));

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
