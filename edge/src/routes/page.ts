/** `GET /`: the page, one document with its style and script inside, which the policy admits by hash. */

import type { EdgeModel } from '@blip2/shared/edge-model';
import { html } from 'hono/html';
import script from '../../generated/page.js.txt';
import type { Dependencies } from '../dependencies.ts';
import colors from '../page/colors.css';
import markup from '../page/page.html';
import ownStyle from '../page/style.css';
import type { Handler } from './app-context.ts';
import { sharedBody } from './large-reply.ts';
import { styledPolicy } from './styled-policy.ts';

const style = colors + ownStyle;

/** Encoded once: its replies share the bytes. */
type Page = { html: Uint8Array<ArrayBuffer>; policy: string };

/** Assembled on first use: its hashes are asynchronous. */
const assembled = new WeakMap<Dependencies, Promise<Page>>();

export const page: Handler = async (c, deps) => {
  let assembling = assembled.get(deps);
  if (assembling === undefined) {
    assembling = assemble(deps);
    assembled.set(deps, assembling);
  }
  const { html: bytes, policy } = await assembling;
  return c.body(await sharedBody(c, deps, bytes), 200, {
    'content-type': 'text/html; charset=UTF-8',
    'content-security-policy': policy,
    'cache-control': 'public, max-age=300',
  });
};

async function assemble({ models, config }: Dependencies): Promise<Page> {
  const texts: Record<string, string> = {
    ...textsOf(models.generate),
    maxImageBytes: String(config.maxImageBytes),
    needsKey: String(!config.allowAnonymous),
  };
  const text = markup
    .replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => escapeHtml(texts[name] ?? ''))
    .replace('/*style*/', () => style)
    .replace('/*script*/', () => script);
  const policy = await styledPolicy(
    style,
    script,
    // Of any host: an image that was named by its address is shown.
    'img-src blob: data: https: http:',
    "connect-src 'self'",
  );
  return { html: new Uint8Array(new TextEncoder().encode(text)), policy };
}

/** What the page says of the model. @example { name: 'blip2-scenes', summary: 'knows emoji scenes only.', … } */
function textsOf({ name, card }: Pick<EdgeModel, 'name' | 'card'>): Record<string, string> {
  const { summary, description = '', caution = '' } = card ?? {};
  return { name, summary: summary === undefined ? '' : `${summary}.`, description, caution };
}

function escapeHtml(text: string): string {
  return String(html`${text}`);
}
