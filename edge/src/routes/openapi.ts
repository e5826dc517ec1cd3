/** `GET /openapi.json`: the description of the API, made once for what is served. */
import { CacheableHeaders } from '@blip2/shared/schemas/headers';
import type { Dependencies } from '../dependencies.ts';
import { matchesTag } from '../http/content-negotiation.ts';
import { openApiDocument } from './openapi/document.ts';
import type { Route } from './route.ts';
import { digest } from './styled-policy.ts';

/** Serialized, with its strong tag. */
type Document = { body: string; etag: string };

/** @param routes all routes, this one included, once they are known */
export function openApiRoute(routes: () => readonly Route[]): Route {
  const made = new WeakMap<Dependencies, Promise<Document>>();
  return {
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
      const document = made.get(deps) ?? serialize(openApiDocument(routes(), deps));
      made.set(deps, document);
      const { body, etag } = await document;
      const headers = { etag, 'cache-control': 'public, max-age=300' };
      if (matchesTag(c.req.header('if-none-match'), etag)) {
        return new Response(null, { status: 304, headers });
      }
      return new Response(body, { headers: { ...headers, 'content-type': 'application/json' } });
    },
  };
}

async function serialize(document: object): Promise<Document> {
  const body = JSON.stringify(document);
  return { body, etag: `"${(await digest(body)).toHex().slice(0, 32)}"` };
}
