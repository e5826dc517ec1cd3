/** Which addresses events of a job may be sent to: those from which an image may be fetched. */
import { ApiError } from '@blip2/shared/errors';
import { isPublicHost } from '../../image/public-url.ts';

const MAX_WEBHOOK_URL = 2048;

/**
 * Asked when a job is created and before each try: rules may change, and what is stored is not trusted for ever. As with
 * images, a public name of a private address is left to the network (`image/public-url.ts`).
 * @throws ApiError `invalid-request`
 * @example checkWebhookUrl('http://127.0.0.1/', { allowPrivate: false }) // throws: … a host that is not public
 */
export function checkWebhookUrl(text: string, { allowPrivate }: { allowPrivate: boolean }): URL {
  if (text.length > MAX_WEBHOOK_URL) throw refused(`has more than ${MAX_WEBHOOK_URL} characters`);
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw refused('must be a whole URL that begins with https:// or http://');
  }
  if (url.username !== '' || url.password !== '') {
    throw refused('must have no user or password in it: the signature says who sends');
  }
  if (!allowPrivate && !isPublicHost(url.hostname)) {
    throw refused('points to a host that is not public: name one that everybody can reach');
  }
  return url;
}

function refused(why: string): ApiError {
  return new ApiError('invalid-request', `webhook.url: ${why}.`, { field: 'webhook.url' });
}
