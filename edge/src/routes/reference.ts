/** `GET /docs`: the reference, made once of the OpenAPI document; `GET /docs/example.webp`: the image of its examples. */
import { CacheableHeaders } from '@blip2/shared/schemas/headers';
import image from '../../generated/example.webp.txt';
import type { Dependencies } from '../dependencies.ts';
import { matchesTag } from '../http/content-negotiation.ts';
import { originOf, UNKNOWN_ORIGIN } from '../http/origin.ts';
import type { AppContext } from './app-context.ts';
import { holdDocument, sharedBody } from './large-reply.ts';
import type { ApiDocument } from './openapi/api-document.ts';
import { openApiDocument } from './openapi/document.ts';
import { LARGE_REPLY } from './problem-lists.ts';
import { AddressedPage } from './reference/addressed-page.ts';
import { ORIGIN } from './reference/curl.ts';
import { IMAGE_PATH, referencePage, SCRIPT, STYLE } from './reference/page.ts';
import type { Route } from './route.ts';
import { digest, styledPolicy } from './styled-policy.ts';

type Page = { addressed: AddressedPage; policy: string };

const same = { description: 'It is still the same.' };

const common = {
  method: 'GET',
  tag: 'service',
  parameters: { header: CacheableHeaders },
  headers: ['cache-control', 'etag'],
  replies: { 304: { ...same, headers: ['cache-control', 'etag'] } },
  problems: [],
} as const satisfies Partial<Route>;

/** @param routes all routes, these two included, once they are known */
export function referenceRoutes(routes: () => readonly Route[]): readonly Route[] {
  const made = new WeakMap<Dependencies, Promise<Page>>();
  return [
    {
      ...common,
      path: '/docs',
      operationId: 'getReference',
      summary: 'Show the reference',
      description: 'This document for people, with commands to copy. It needs no JavaScript.',
      reply: { 'text/html': 'text' },
      problems: LARGE_REPLY,
      headers: ['cache-control', 'etag', 'vary'],
      replies: { 304: { ...same, headers: ['cache-control', 'etag', 'vary'] } },
      handler: async (c, deps) => {
        const page = made.get(deps) ?? assemble(openApiDocument(routes(), deps) as ApiDocument);
        made.set(deps, page);
        const { addressed, policy } = await page;
        const caller = {
          origin: shellOrigin(c),
          request: c.req.raw,
          now: deps.now(),
          bodyOf: (bytes: Uint8Array<ArrayBuffer>) => sharedBody(c, deps, bytes),
          sending: () => holdDocument(c, deps.config),
        };
        return await addressed.reply(caller, {
          'content-security-policy': policy,
          'content-type': 'text/html; charset=UTF-8',
        });
      },
    },
    {
      ...common,
      path: IMAGE_PATH,
      operationId: 'getExampleImage',
      summary: 'Fetch the image of the examples',
      description: 'A pizza above an octopus, drawn with Noto Emoji.',
      reply: { 'image/webp': 'binary' },
      handler: async (c) => {
        const etag = `"${(await digest(image)).toHex().slice(0, 32)}"`;
        return cacheable(c, etag, { 'content-type': 'image/webp' }, () =>
          Uint8Array.fromBase64(image),
        );
      },
    },
  ];
}

function cacheable(
  c: AppContext,
  etag: string,
  others: Record<string, string>,
  body: () => string | Uint8Array<ArrayBuffer>,
): Response {
  const headers = { etag, 'cache-control': 'public, max-age=300' };
  if (matchesTag(c.req.header('if-none-match'), etag)) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(body(), { headers: { ...headers, ...others } });
}

async function assemble(document: ApiDocument): Promise<Page> {
  const html = await referencePage(document);
  return {
    addressed: new AddressedPage(html, ORIGIN, (await digest(html)).toHex().slice(0, 32)),
    policy: await styledPolicy(STYLE, SCRIPT, "img-src 'self' data:", "connect-src 'none'"),
  };
}

/** The address by which the caller has reached the service: it is what the caller says, and goes into commands for a shell. */
function shellOrigin(c: AppContext): string {
  const origin = originOf(c.req.url);
  return /^https?:\/\/[\w.:[\]-]+$/.test(origin) ? origin : UNKNOWN_ORIGIN;
}
