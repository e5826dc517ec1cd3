/** How GPU workers are reached: over what is bound as `GPU_NETWORK`, and past Cloudflare Access, where they are behind these. */
import type { Config } from '../config.ts';
import type { Env, Platform } from '../platform.ts';

/**
 * Fetches from GPU workers, and follows none of their redirects: they send none, and whoever else does gets neither token nor image.
 * @param fetch of the platform, where nothing is bound
 */
export function gpuNetwork(
  { GPU_NETWORK: network }: Pick<Env, 'GPU_NETWORK'>,
  { gpuAccessToken: token }: Pick<Config, 'gpuAccessToken'>,
  fetch: Platform['fetch'],
): Platform['fetch'] {
  const send: Platform['fetch'] =
    network === undefined ? fetch : (url, init) => network.fetch(url, init);
  const redirect = 'manual';
  if (token === undefined) return (url, init) => send(url, { ...init, redirect });
  const [id = '', secret = ''] = token.split(':');
  return (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set('cf-access-client-id', id);
    headers.set('cf-access-client-secret', secret);
    return send(url, { ...init, headers, redirect });
  };
}
