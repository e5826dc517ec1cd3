/** How a hub is reached, and where what comes from it is cached. */
import type { ProxyOptions } from './proxy.ts';

export type HubOptions = {
  /** Base URL of the hub, without a trailing slash. */
  endpoint: string;
  /** Sent to `endpoint` and nowhere else. */
  token: string | undefined;
  /** Where the token is read from when there is no other, unless it is not there. */
  tokenFile?: string;
  /** Nothing is asked of any hub. */
  offline: boolean;
  /** Folder of the cache, in the layout of huggingface_hub. */
  cache: string;
  /** Proxies on the way to the hub; none by default. */
  proxy?: ProxyOptions;
};
