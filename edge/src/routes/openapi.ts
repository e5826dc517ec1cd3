/** `GET /openapi.json`: the OpenAPI 3.1 document, made of the table of routes and the schemas that check the requests. */
import * as z from 'zod/mini';
import { type MediaContent, type Route, SCHEMAS } from './route.ts';

/** @param routes the other routes; the document describes these and itself */
export function openApiRoute(routes: readonly Route[]): Route {
  let document: unknown;
  const route: Route = {
    method: 'GET',
    path: '/openapi.json',
    summary: 'This document',
    reply: { 'application/json': 'object' },
    handler: (c) => {
      document ??= openApiDocument([...routes, route]);
      return c.json(document as object, 200, { 'cache-control': 'public, max-age=300' });
    },
  };
  return route;
}

function openApiDocument(routes: readonly Route[]): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) };
  }
  const schemas = Object.fromEntries(
    Object.entries(SCHEMAS).map(([name, schema]) => {
      const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io: 'input' });
      return [name, json];
    }),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'BLIP-2 at the edge', version: '1' },
    paths,
    components: { schemas },
  };
}

function operation({ summary, description, parameters, request, reply, replies = {} }: Route) {
  return {
    summary,
    ...(description && { description }),
    ...(parameters && { parameters }),
    ...(request && { requestBody: { required: true, content: content(request) } }),
    responses: {
      200: { description: 'OK', content: content(reply) },
      ...Object.fromEntries(
        Object.entries(replies).map(([status, text]) => [status, { description: text }]),
      ),
      default: {
        description: 'A problem (RFC 9457)',
        content: content({ 'application/problem+json': ['Problem'] }),
      },
    },
  };
}

function content(byMediaType: Record<string, MediaContent>) {
  return Object.fromEntries(
    Object.entries(byMediaType).map(([type, media]) => [type, { schema: schemaOf(media) }]),
  );
}

const BINARY = { type: 'string', format: 'binary' };

function schemaOf(media: MediaContent): Record<string, unknown> {
  if (media === 'text') return { type: 'string' };
  if (media === 'binary') return BINARY;
  if (media === 'object') return { type: 'object' };
  if (media === 'form') return { type: 'object', properties: { image: BINARY } };
  const references = media.map((name) => ({ $ref: `#/components/schemas/${name}` }));
  return references.length === 1 ? { ...references[0] } : { oneOf: references };
}
