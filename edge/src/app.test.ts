import { PROBLEMS } from '@blip2/shared/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { startEdge, type TestEdge } from './testing/edge.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

describe('health', () => {
  it('is good when the whole chain answers', async () => {
    const response = await edge.request('/healthz');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: 'ok',
      checks: { gpu_worker: 'ok', model: 'ok', kv: 'ok' },
    });
  });

  it.each<[string, Partial<TestEdge['gpu']['script']>, RegExp]>([
    ['is gone', { isGone: true }, /gpu_worker: The GPU worker cannot be reached/],
    ['is not ready', { isReady: false }, /gpu_worker: is not ready/],
    ['serves another model', { revision: 'x' }, /model: the GPU worker serves another revision/],
  ])('names it when the GPU worker %s', async (_name, script, detail) => {
    Object.assign(edge.gpu.script, script);
    const response = await edge.request('/healthz');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBeTruthy();
    expect(await response.json()).toMatchObject({ detail: expect.stringMatching(detail) });
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
    expect(html).not.toMatch(/\son\w+=|\sstyle=/);
  });
});

describe('documents', () => {
  it('describe every route by its schema', async () => {
    const document = (await (await edge.request('/openapi.json')).json()) as {
      paths: Record<string, unknown>;
      components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
    };
    expect(Object.keys(document.paths)).toContain('/v1/answers');
    const { CaptionRequest, AnswerRequest } = document.components.schemas;
    expect(CaptionRequest).toMatchObject({ additionalProperties: false, required: ['image'] });
    expect(Object.keys(AnswerRequest?.properties ?? {})).toContain('history');
    expect(JSON.stringify(document)).not.toContain('"undefined"');
  });

  it.each(Object.keys(PROBLEMS))('say what /problems/%s is', async (slug) => {
    expect((await edge.request(`/problems/${slug}`)).status).toBe(200);
  });

  it('are not there for a problem that is none', async () => {
    expect((await edge.request('/problems/constructor')).status).toBe(404);
  });
});

it('preflights are answered for every origin', async () => {
  const response = await edge.request('/v1/captions', {
    method: 'OPTIONS',
    headers: { origin: 'https://x.example', 'access-control-request-method': 'POST' },
  });
  expect(response.status).toBe(204);
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
});
