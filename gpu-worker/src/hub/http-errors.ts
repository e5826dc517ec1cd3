/** What a failed request to a hub means to the person who asked for the model. */
import { HubError, InterruptedError } from './errors.ts';
import type { ModelId } from './model-id.ts';
import { retryAfterMs } from './retry.ts';

/** What was asked for: a file, where there is a path; with a token, where its source is named. */
type Asked = { path?: string; token: string | undefined };

/**
 * The error for an answer of the hub. `X-Error-Code` tells apart what shares a status; without a token a
 * hub answers 401 for a model that does not exist, as it does for one that is private.
 */
export async function errorOfResponse(
  response: Response,
  { id, revision, endpoint }: ModelId,
  { path, token }: Asked,
): Promise<HubError> {
  const { status, headers, url } = response;
  await response.body?.cancel();
  const code = headers.get('x-error-code');
  const page = `${endpoint}/${id}`;
  if (status === 408 || status === 429 || status >= 500) {
    const delay = retryAfterMs(headers.get('retry-after'), Date.now());
    const state = status === 429 ? 'asks for fewer requests' : 'has a failure';
    return new InterruptedError(`${new URL(url).host} ${state} (${status}).`, {
      status,
      ...(delay === undefined ? {} : { retryAfterMs: delay }),
    });
  }
  if (new URL(url).origin !== new URL(endpoint).origin) {
    // Not the hub's own word: its storage refuses an address that has become too old, and the next is new.
    return new InterruptedError(
      `${new URL(url).host}, to which the hub sent us, answered ${status}.`,
      {
        status,
      },
    );
  }
  if (code === 'GatedRepo') {
    const account =
      token === undefined
        ? 'and set HF_TOKEN to a token of that account, or log in with hf auth login'
        : `with the account of ${token}`;
    return new HubError(`${id} is gated: accept its license at ${page} ${account}.`, { status });
  }
  if (status === 401 || status === 403) {
    const reason = headers.get('x-error-message');
    const advice =
      token === undefined
        ? `It is private or gated, or does not exist. Set HF_TOKEN to a token that may read it, or log in with hf auth login; accept its license at ${page} where it has one.`
        : `${sentence(token)} is not valid, or may not read it${reason === null ? '' : ` (${reason})`}. If the model is gated, accept its license at ${page}.`;
    return new HubError(`${id} may not be read (${status}). ${advice}`, { status });
  }
  if (status === 404) {
    if (path !== undefined && code !== 'RepoNotFound' && code !== 'RevisionNotFound') {
      return new HubError(`${id} has no file ${path} at ${revision}.`, { status });
    }
    if (code === 'RevisionNotFound') {
      return new HubError(
        `${id} has no revision "${revision}"; its revisions are at ${page}/refs.`,
        { status },
      );
    }
    // Some mirrors give no code: either may be missing then.
    const either =
      code === null && revision !== 'main' ? `, or it has no revision "${revision}"` : '';
    return new HubError(`There is no model ${id} at ${endpoint}${either}.`, { status });
  }
  return new HubError(`${url} answered ${status} ${response.statusText}.`, { status });
}

const sentence = (words: string) => words.replace(/^the/, 'The');

const NO_CONNECTION = [
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
];

/** The error for a request that got no answer. */
export function connectionError(url: URL, cause: unknown): HubError {
  if (cause instanceof HubError) return cause;
  const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const { code, message, name } = reason as NodeJS.ErrnoException;
  // What the network does to a connection has a code; the rest is refused on our side, or does not speak HTTP.
  const isOurs = code === undefined && name !== 'TimeoutError' && name !== 'AbortError';
  if (isOurs || /^HPE_/.test(code ?? '')) {
    return new HubError(`${url.origin} cannot be asked: ${message}. Is HF_ENDPOINT right?`, {
      cause,
    });
  }
  const isConnection = NO_CONNECTION.includes(code ?? '') || /CERT|SSL|TLS/.test(code ?? '');
  return isConnection
    ? new InterruptedError(
        `${url.host} cannot be reached (${message || code}). Is this machine online? HF_HUB_OFFLINE=1 uses what is in the cache.`,
        { cause, unreachable: true },
      )
    : new InterruptedError(`The connection to ${url.host} was cut (${message || code}).`, {
        cause,
      });
}
