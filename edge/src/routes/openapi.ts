/** `GET /openapi.json`: the description of the API, made once for what is served. */
import { CacheableHeaders } from '@blip2/shared/schemas/headers';
import type { Dependencies } from '../dependencies.ts';
import { matchesTag } from '../http/content-negotiation.ts';
import { openApiDocument } from './openapi/document.ts';
import type { Route } from './route.ts';

/** Serialized, with its strong tag. */
type Document = { body: string; etag: string };

/** @param routes the other routes; the document describes these and itself */
export function openApiRoute(routes: readonly Route[]): Route {
  const made = new WeakMap<Dependencies, Promise<Document>>();
  const route: Route = {
    method: 'GET',
    path: '/openapi.json',
    operationId: 'getOpenApi',
    tag: 'service',
    summary: 'This document',
    description: 'The description of the API for people, clients and generators of clients.',
    parameters: { header: CacheableHeaders },
    reply: { 'application/json': ['OpenApiDocument'] },
    headers: ['cache-control', 'etag'],
    replies: { 304: { description: 'It is still the same.', headers: ['cache-control', 'etag'] } },
    problems: [],
    handler: async (c, deps) => {
      const document = made.get(deps) ?? serialize(openApiDocument([...routes, route], deps));
      made.set(deps, document);
      const { body, etag } = await document;
      const headers = { etag, 'cache-control': 'public, max-age=300' };
      if (matchesTag(c.req.header('if-none-match'), etag)) {
        return new Response(null, { status: 304, headers });
      }
      return new Response(body, { headers: { ...headers, 'content-type': 'application/json' } });
    },
  };
  return route;
}

async function serialize(document: object): Promise<Document> {
  const body = JSON.stringify(document);
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(body));
  return { body, etag: `"${new Uint8Array(digest).toHex().slice(0, 32)}"` };
}
