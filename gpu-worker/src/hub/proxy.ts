/** Requests of the hub's client through the proxies that a network wants. */
import { EnvHttpProxyAgent, fetch as undiciFetch } from 'undici';
import { HubError, InterruptedError } from './errors.ts';

/** Addresses of proxies by the protocol of what is asked for; those for https take http too where they are alone. */
export type ProxyOptions = {
  https: string | undefined;
  http: string | undefined;
  /** Hosts that are asked directly, with commas between them: `localhost,.example.org,10.0.0.1:8080`, or `*`. */
  except: string | undefined;
};

type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** As the platform's `fetch`, through the proxies where there are some. */
export function fetchThrough(proxy: ProxyOptions | undefined): Fetch {
  if (proxy?.https === undefined && proxy?.http === undefined) return fetch;
  // An empty text keeps the agent from the environment, which is read elsewhere.
  const { https = '', http = '', except = '' } = proxy;
  const dispatcher = new EnvHttpProxyAgent({
    httpsProxy: https,
    httpProxy: http,
    noProxy: except,
    // What is not encrypted is asked of the proxy itself: many let nobody through to port 80.
    proxyTunnel: false,
  });
  return async (url, init) => {
    try {
      const response = await undiciFetch(url, { ...(init as object), dispatcher });
      return response as unknown as Response;
    } catch (error) {
      const status = statusOfProxy(error);
      throw status === undefined ? error : refusal(url, proxy, status, error);
    }
  };
}

/** What the proxy itself answered, which undici says in words, in an error or one of its causes. */
function statusOfProxy(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const [, status] = /^Proxy\b.*\((\d{3})\)/.exec(error.message) ?? [];
  return status === undefined ? statusOfProxy(error.cause) : Number(status);
}

function refusal(url: URL, proxy: ProxyOptions, status: number, cause: unknown): HubError {
  const name =
    url.protocol === 'https:' && proxy.https !== undefined ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const answered = `The proxy of ${name} answered ${status}.`;
  if (status >= 500) return new InterruptedError(answered, { status, cause });
  const advice =
    status === 407
      ? `It wants a name and a password: ${name}=http://name:password@host:port`
      : `It may let nobody through to ${url.hostname}; NO_PROXY=${url.hostname} goes around it.`;
  return new HubError(`${answered} ${advice}`, { status, cause });
}
