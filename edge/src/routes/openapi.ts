/** `GET /openapi.json`: the description of the API, made once for what is served. */
import { CacheableHeaders } from '@blip2/shared/schemas/headers';
import type { Dependencies } from '../dependencies.ts';
import { StaticText } from '../http/static-text.ts';
import { sharedBody } from './large-reply.ts';
import { openApiDocument } from './openapi/document.ts';
import { LARGE_REPLY } from './problem-lists.ts';
import type { Route } from './route.ts';
import { digest } from './styled-policy.ts';

/** @param routes all routes, this one included, once they are known */
export function openApiRoute(routes: () => readonly Route[]): Route {
  const made = new WeakMap<Dependencies, Promise<StaticText>>();
  return {
    method: 'GET',
    path: '/openapi.json',
    operationId: 'getOpenApi',
    tag: 'service',
    summary: 'This document',
    description: 'The description of the API for people, clients and generators of clients.',
    parameters: { header: CacheableHeaders },
    reply: { 'application/json': ['OpenApiDocument'] },
    headers: ['cache-control', 'etag', 'vary'],
    replies: {
      304: { description: 'It is still the same.', headers: ['cache-control', 'etag', 'vary'] },
    },
    problems: LARGE_REPLY,
    handler: async (c, deps) => {
      const document = made.get(deps) ?? serialize(openApiDocument(routes(), deps));
      made.set(deps, document);
      const type = { 'content-type': 'application/json' };
      return (await document).reply(c.req.raw.headers, type, (bytes) => sharedBody(c, deps, bytes));
    },
  };
}

async function serialize(document: object): Promise<StaticText> {
  const body = JSON.stringify(document);
  return new StaticText(body, (await digest(body)).toHex().slice(0, 32));
}
