/** Pages of every origin may call every route, send the headers of every client, and read what clients read of replies. */
import { ReplyHeaders } from '@blip2/shared/schemas/headers';
import { describe, expect, it } from 'vitest';
import { startEdge } from '../testing/edge.ts';
import { ROUTES } from './routes.ts';

const edge = startEdge();
const OPERATIONS = ROUTES.map(({ method, path }) => [method, path] as const);
const pathOf = (path: string) => path.replaceAll(/\{\w+\}/g, 'x');

function preflight(path: string, method: string, headers?: string): Promise<Response> {
  return edge.request(path, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': method,
      ...(headers && { 'access-control-request-headers': headers }),
    },
  });
}

const listOf = (response: Response, name: string) =>
  (response.headers.get(`access-control-${name}`) ?? '').split(/, ?/);

describe.each(OPERATIONS)('a preflight of %s %s', (method, path) => {
  it('allows its method, and by name what clients send', async () => {
    const response = await preflight(pathOf(path), method);
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(listOf(response, 'allow-methods')).toContain(method);
    expect(listOf(response, 'allow-headers')).toEqual(
      expect.arrayContaining([
        ...['authorization', 'content-type', 'prefer', 'x-api-key', 'x-moondream-auth'],
        ...['idempotency-key', 'cache-control', 'last-event-id', 'x-request-id', 'if-none-match'],
        ...['openai-organization', 'openai-project', 'x-stainless-retry-count', 'x-stainless-os'],
      ]),
    );
  });
});

it('allows the methods of a path, and no others', async () => {
  const methods = listOf(await preflight('/v1/captions', 'POST'), 'allow-methods');
  expect(methods).toEqual(['POST', 'OPTIONS']);
});

it('allows a header of a client to come, and nothing that is no name', async () => {
  const asked = 'authorization, X-Stainless-Tomorrow,traceparent,, a b,x:y';
  const allowed = listOf(await preflight('/v1/captions', 'POST', asked), 'allow-headers');
  expect(allowed).toEqual(expect.arrayContaining(['x-stainless-tomorrow', 'traceparent']));
  expect(allowed.filter((name) => name === 'authorization')).toHaveLength(1);
  expect(allowed.filter((name) => !/^[\w-]+$/.test(name))).toEqual([]);
});

it('is bounded, whatever is asked for', async () => {
  const asked = Array.from({ length: 500 }, (_, index) => `x-name-${index}`).join();
  const allowed = listOf(await preflight('/v1/captions', 'POST', asked), 'allow-headers');
  expect(allowed.length).toBeLessThan(100);
});

it('lets pages read every header that the document describes, and of errors too', async () => {
  for (const path of ['/healthz', '/v1/nothing', '/hf/image-to-text']) {
    const response = await edge.request(path, { headers: { origin: 'https://app.example' } });
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(listOf(response, 'expose-headers')).toEqual(
      expect.arrayContaining([
        ...Object.keys(ReplyHeaders.shape),
        ...['x-request-id', 'retry-after', 'retry-after-ms', 'x-ratelimit-remaining-requests'],
      ]),
    );
  }
});
