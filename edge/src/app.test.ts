import { PROBLEMS } from '@blip2/shared/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { ROUTES } from './routes/routes.ts';
import { base64, newImage, startEdge, type TestEdge, testEnv } from './testing/edge.ts';
import { generative } from './testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

/** Paths of the table with values for their parameters. */
const pathOf = (path: string) =>
  path.replace('{sha256}', '0'.repeat(64)).replace('{slug}', 'not-found');

describe('every route', () => {
  it.each(ROUTES.map(({ method, path, errors }) => [method, path, errors] as const))(
    '%s %s refuses another method with 405 and Allow',
    async (method, path, errors) => {
      const here = ROUTES.filter((route) => route.path === path).map((route) => route.method);
      const other = (['GET', 'POST', 'PUT'] as const).find((verb) => !here.includes(verb as 'GET'));
      const response = await edge.request(pathOf(path), { method: other ?? '' });
      expect(response.status).toBe(405);
      const allowed = response.headers.get('allow')?.split(', ');
      const possible = here.flatMap((verb) => (verb === 'GET' ? ['GET', 'HEAD'] : [verb]));
      expect(allowed?.toSorted()).toEqual([...possible, 'OPTIONS'].toSorted());
      expect(allowed).toContain(method);
      const type = response.headers.get('content-type');
      if (errors === 'hugging-face') {
        expect(type).toBe('application/json');
        expect(await response.json()).toEqual({
          error: expect.stringContaining('is not possible here'),
          error_type: 'method-not-allowed',
        });
        return;
      }
      if (errors === 'replicate') {
        expect(type).toBe('application/json');
        expect(await response.json()).toMatchObject({
          title: expect.any(String),
          detail: expect.stringContaining('is not possible here'),
          status: 405,
        });
        return;
      }
      if (errors === 'ollama') {
        expect(type).toBe('application/json');
        const error = expect.stringContaining('is not possible here');
        expect(await response.json()).toEqual({ error });
        return;
      }
      if (errors === 'openai' || errors === 'moondream') {
        expect(type).toBe('application/json');
        const error = { code: 'method_not_allowed', type: 'invalid_request_error' };
        expect(await response.json()).toMatchObject({ error });
        return;
      }
      expect(type).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({ type: '/problems/method-not-allowed' });
    },
  );

  it.each(ROUTES.map(({ method, path }) => [method, path] as const))(
    '%s %s answers pages of any origin, with a request id and headers for browsers',
    async (method, path) => {
      const headers = { origin: 'https://x.example' };
      const response = await edge.request(pathOf(path), { method, headers });
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      expect(response.headers.get('x-request-id')).toBeTruthy();
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('no-referrer');
      expect(response.headers.get('cross-origin-resource-policy')).toBe('cross-origin');
    },
  );

  it.each(ROUTES.map(({ method, path }) => [method, path] as const))(
    '%s %s answers a preflight',
    async (method, path) => {
      const response = await edge.request(pathOf(path), {
        method: 'OPTIONS',
        headers: { origin: 'https://x.example', 'access-control-request-method': method },
      });
      expect(response.status).toBe(204);
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      expect(response.headers.get('access-control-allow-methods')).toContain(method);
    },
  );

  it('is described by the OpenAPI document, which has no other', async () => {
    const document = (await (await edge.request('/openapi.json')).json()) as {
      paths: Record<string, Record<string, { summary: string }>>;
    };
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { summary }]) => [
        method.toUpperCase(),
        path,
        summary,
      ]),
    );
    expect(described.toSorted()).toEqual(
      ROUTES.map(({ method, path, summary }) => [method, path, summary]).toSorted(),
    );
  });
});

it.each(['/nothing', '/v1/captions/', '/v1/embeddings/a/b'])(
  'a preflight of %s, which does not exist, gets 404, and a page may read it',
  async (path) => {
    const response = await edge.request(path, {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
    });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: '/problems/not-found' });
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('x-request-id')).not.toBeNull();
  },
);

describe('the OpenAPI document', () => {
  type Document = { components: { schemas: Record<string, { properties?: object }> } };

  it('has the schemas that the requests are checked by', async () => {
    const document: Document = await (await edge.request('/openapi.json')).json();
    const { CaptionRequest, AnswerRequest } = document.components.schemas;
    expect(CaptionRequest).toMatchObject({ additionalProperties: false, required: ['image'] });
    expect(Object.keys(AnswerRequest?.properties ?? {})).toContain('history');
  });

  it('has every schema that it refers to', async () => {
    const document: Document = await (await edge.request('/openapi.json')).json();
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(references.length).toBeGreaterThan(10);
    expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(references));
    expect(text).not.toContain('"undefined"');
  });
});

describe('the page about a problem', () => {
  it.each(Object.entries(PROBLEMS))('exists for %s', async (slug, { title }) => {
    const response = await edge.request(`/problems/${slug}`);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain(title);
  });

  it.each(['of-tomorrow', 'constructor'])('does not exist for %s', async (slug) => {
    expect((await edge.request(`/problems/${slug}`)).status).toBe(404);
  });
});

describe('the page', () => {
  it('admits its own style and script by hash, and nothing else', async () => {
    const response = await edge.request('/');
    const html = await response.text();
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    for (const [tag, directive] of [
      ['style', 'style-src'],
      ['script', 'script-src'],
    ] as const) {
      const text = new RegExp(`<${tag}[^>]*>([^]*?)</${tag}>`).exec(html)?.[1] ?? '';
      expect(text.length).toBeGreaterThan(1000);
      const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
      const hash = new Uint8Array(digest).toBase64();
      expect(policy).toContain(`${directive} 'sha256-${hash}'`);
    }
    expect(html).not.toMatch(/<[^>]+\s(on\w+|style)=/);
  });

  it('says the name of the model and what its card says, whatever characters they have', async () => {
    const card = { summary: 'knows <b>', description: 'A & "B".', caution: "It's $& only." };
    const models = { generate: { ...generative, name: 'a<script>', card } };
    const html = await (await startEdge({ models }).request('/')).text();
    for (const text of ['a&lt;script&gt;', 'knows &lt;b&gt;.', 'A &amp; &quot;B&quot;.']) {
      expect(html).toContain(text);
    }
    expect(html).toContain('It&#39;s $&amp; only.');
  });

  it('has nothing to say of a model without a card but its name', async () => {
    const { card: _card, ...generate } = generative;
    const html = await (await startEdge({ models: { generate } }).request('/')).text();
    expect(html).toContain(`<strong>${generate.name}</strong> <span></span>`);
    expect(html).not.toContain('{{');
  });
});

describe('an edge without a retrieval model', () => {
  it.each<[string, unknown]>([
    ['/v1/match', { image: { data: base64(newImage()) }, texts: ['a dog'] }],
    ['/v1/embeddings', { text: 'a dog', kind: 'itc' }],
    ['/v1/embeddings', { image: { data: base64(newImage()) }, kind: 'itc' }],
  ])('replies no-retrieval-model at %s', async (path, body) => {
    const { post, gpu } = startEdge({ models: { generate: generative } });
    const response = await post(path, body);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: '/problems/no-retrieval-model' });
    expect(gpu.received).toEqual([]);
  });

  it('still captions images', async () => {
    const { post } = startEdge({ models: { generate: generative } });
    const response = await post('/v1/captions', { image: { data: base64(newImage()) } });
    expect(await response.json()).toMatchObject({ caption: 'a red dog' });
  });
});

it('a variable that is wrong fails every request, not only those that need it', () => {
  expect(() => startEdge({ env: { GPU_WORKER_URL: 'x' } })).toThrow(/^GPU_WORKER_URL must be/);
  expect(() => startEdge({ env: testEnv })).not.toThrow();
});
