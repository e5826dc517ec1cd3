/** `GET /`: the page, one document with its style and script inside, which the policy admits by hash. */

import script from '../page/client.js';
import markup from '../page/page.html';
import style from '../page/style.css';
import type { Handler } from './app-context.ts';

type Page = { html: string; policy: string };

/** Assembled on first use: its hashes are asynchronous. */
let assembled: Promise<Page> | undefined;

export const page: Handler = async (c) => {
  assembled ??= assemble();
  const { html, policy } = await assembled;
  return c.html(html, 200, {
    'content-security-policy': policy,
    'cache-control': 'public, max-age=300',
  });
};

async function assemble(): Promise<Page> {
  const html = markup.replace('/*style*/', () => style).replace('/*script*/', () => script);
  const policy = [
    "default-src 'none'",
    `style-src ${await hashOf(style)}`,
    `script-src ${await hashOf(script)}`,
    'img-src blob: data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return `'sha256-${new Uint8Array(digest).toBase64()}'`;
}
