/** Options of checkpoints, bundles and hub, which the GPU worker shares with every tool that builds. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bearerToken,
  choice,
  httpUrl,
  list,
  proxyUrl,
  text,
  toggle,
} from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import type { HubOptions } from './hub/options.ts';

const BUNDLES = fileURLToPath(new URL('../../.bundles', import.meta.url));

const group = 'Checkpoints and bundles';
const hub = 'Hub';

const HUB_OPTIONS = {
  hfToken: option({
    env: 'HF_TOKEN',
    alias: 'HUGGING_FACE_HUB_TOKEN',
    defaultText: 'what HF_TOKEN_PATH holds',
    kind: bearerToken(),
    secret: true,
    group: hub,
    help: 'token for models that are private or gated; sent to HF_ENDPOINT and nowhere else',
  }),
  hfTokenPath: option({
    env: 'HF_TOKEN_PATH',
    kind: text('FILE'),
    defaultText: 'HF_HOME/token',
    group: hub,
    help: 'file with the token, as hf auth login leaves it',
  }),
  hfNoImplicitToken: option({
    env: 'HF_HUB_DISABLE_IMPLICIT_TOKEN',
    kind: toggle(),
    default: false,
    group: hub,
    help: '1 sends no token at all',
  }),
  hfEndpoint: option({
    env: 'HF_ENDPOINT',
    kind: httpUrl(),
    default: 'https://huggingface.co',
    group: hub,
    help: 'address of the hub',
  }),
  hfOffline: option({
    env: 'HF_HUB_OFFLINE',
    alias: 'TRANSFORMERS_OFFLINE',
    kind: toggle(),
    default: false,
    group: hub,
    help: '1 uses what is in the cache and asks no hub',
  }),
  httpsProxy: option({
    env: 'HTTPS_PROXY',
    alias: 'https_proxy',
    kind: proxyUrl(),
    secret: true,
    group: hub,
    help: 'proxy for https:// addresses of the hub',
  }),
  httpProxy: option({
    env: 'HTTP_PROXY',
    alias: 'http_proxy',
    kind: proxyUrl(),
    secret: true,
    group: hub,
    help: 'proxy for http:// addresses of the hub, and for https:// where there is no other',
  }),
  noProxy: option({
    env: 'NO_PROXY',
    alias: 'no_proxy',
    kind: text('HOSTS'),
    group: hub,
    help: 'hosts that are asked directly, with commas between them: .example.org, 10.0.0.1:8080, or *',
  }),
  hfHubCache: option({
    env: 'HF_HUB_CACHE',
    alias: 'HUGGINGFACE_HUB_CACHE',
    kind: text('FOLDER'),
    defaultText: 'HF_HOME/hub',
    formerly: 'BLIP2_MODELS',
    group: hub,
    help: 'cache of pulled checkpoints, shared with huggingface_hub',
  }),
  hfHome: option({
    env: 'HF_HOME',
    kind: text('FOLDER'),
    defaultText: 'XDG_CACHE_HOME/huggingface',
    group: hub,
    help: 'folder of all Hugging Face libraries',
  }),
  cacheHome: option({
    env: 'XDG_CACHE_HOME',
    kind: text('FOLDER'),
    defaultText: '~/.cache',
    group: hub,
    help: "folder of this user's caches",
  }),
};

/** Options of what is served, and of how its bundle is built. */
export const MODEL_OPTIONS = {
  checkpoint: option({
    env: 'BLIP2_CHECKPOINT',
    kind: text('CHECKPOINT'),
    defaultText: 'the embedded model',
    group,
    help: "checkpoint folder in Hugging Face's format, file of weights, or owner/name[@revision] on a hub, which is pulled",
  }),
  retrievalCheckpoint: option({
    env: 'BLIP2_RETRIEVAL_CHECKPOINT',
    kind: text('CHECKPOINT'),
    defaultText: 'the embedded one beside the embedded model, else none',
    group,
    help: 'checkpoint of the retrieval model, which compares images with texts, or "none"',
  }),
  precision: option({
    env: 'BLIP2_PRECISION',
    kind: choice('auto', 'fp32', 'int8', 'int4'),
    default: 'auto',
    group,
    help: 'bits of the large weights; auto is fp32 below 1 GB of weights, else int8',
  }),
  ignoredKeys: option({
    env: 'BLIP2_IGNORE_CONFIG',
    kind: list('KEYS'),
    default: [],
    defaultText: 'none',
    group,
    help: 'keys that change nothing though the builder does not know them, with commas between them: of config.json as text_config.note, of other files behind preprocessor_config., processor_config., generation_config., adapter_config., tokenizer_config., special_tokens_map. or qformer_tokenizer.',
  }),
  bundles: option({
    env: 'BLIP2_BUNDLES',
    kind: text('FOLDER'),
    default: BUNDLES,
    defaultText: '.bundles at the top of the repository',
    group,
    help: 'where bundles are built',
  }),
  ...HUB_OPTIONS,
};

export type ModelSettings = Values<typeof MODEL_OPTIONS>;

/** How the hub is reached, and where its cache is. */
export function hubOptionsOf({
  hfToken,
  hfTokenPath,
  hfNoImplicitToken,
  hfEndpoint,
  hfOffline,
  httpsProxy,
  httpProxy,
  noProxy,
  hfHubCache,
  hfHome,
  cacheHome,
}: Values<typeof HUB_OPTIONS>): HubOptions {
  const home = hfHome ?? join(cacheHome ?? '~/.cache', 'huggingface');
  return {
    endpoint: hfEndpoint,
    ...(hfNoImplicitToken
      ? { token: undefined }
      : { token: hfToken, tokenFile: absolute(hfTokenPath ?? join(home, 'token')) }),
    offline: hfOffline,
    cache: absolute(hfHubCache ?? join(home, 'hub')),
    proxy: { https: httpsProxy, http: httpProxy, except: noProxy },
  };
}

/** How bundles are built: options of `ensureBundle`. */
export function bundleOptionsOf({
  bundles,
  precision,
  ignoredKeys,
}: Pick<ModelSettings, 'bundles' | 'precision' | 'ignoredKeys'>) {
  return { bundles: absolute(bundles), precision, ignoredKeys };
}

const embedded = (name: string) =>
  fileURLToPath(new URL(`../checkpoints/${name}`, import.meta.url));

/**
 * The generative checkpoint and the one for retrieval. The embedded one for retrieval goes with the embedded
 * generative one only: it knows nothing of another's images.
 */
export function chooseCheckpoints({
  checkpoint,
  retrievalCheckpoint,
}: Pick<ModelSettings, 'checkpoint' | 'retrievalCheckpoint'>): {
  checkpoint: string;
  retrievalCheckpoint?: string;
} {
  const retrieval =
    retrievalCheckpoint ?? (checkpoint === undefined ? embedded('retrieve') : 'none');
  return {
    checkpoint: checkpoint ?? embedded('generate'),
    ...(retrieval === 'none' ? {} : { retrievalCheckpoint: retrieval }),
  };
}

/** An absolute path; a leading ~ is the user's folder, as it is to a shell. */
function absolute(path: string): string {
  return resolve(path.replace(/^~(?=$|[/\\])/, homedir()));
}
