/** How the hub is reached and where its models are kept; read from the environment. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import { HubError } from './errors.ts';

const Environment = z.object({
  HF_ENDPOINT: z._default(z.url({ protocol: /^https?$/ }), 'https://huggingface.co'),
  // The check keeps a token that no header can carry out of fetch's message, which would print it.
  HF_TOKEN: z.optional(z.string().check(z.trim(), z.regex(/^[\x21-\x7e]+$/, 'not a token'))),
  HF_HUB_OFFLINE: z._default(z.stringbool(), false),
  BLIP2_MODELS: z._default(z.string(), fileURLToPath(new URL('../../../.models', import.meta.url))),
});

export type HubSettings = {
  /** Base URL of the hub, without a trailing slash. */
  endpoint: string;
  /** Sent to `endpoint` and nowhere else. */
  token: string | undefined;
  /** Nothing is asked of any hub. */
  offline: boolean;
  /** Folder in which pulled checkpoints are kept. */
  models: string;
};

/** @throws HubError that names each variable that is wrong, without its value */
export function readHubSettings(environment: Record<string, string | undefined>): HubSettings {
  const present = Object.entries(environment).filter(
    ([, value]) => value !== undefined && value !== '',
  );
  const result = Environment.safeParse(Object.fromEntries(present));
  if (!result.success) {
    throw new HubError(`The settings of the hub are not valid:\n${z.prettifyError(result.error)}`);
  }
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, BLIP2_MODELS } = result.data;
  return {
    endpoint: HF_ENDPOINT.replace(/\/+$/, ''),
    token: HF_TOKEN,
    offline: HF_HUB_OFFLINE,
    models: resolve(BLIP2_MODELS),
  };
}
