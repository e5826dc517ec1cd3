import { describe, expect, it } from 'vitest';
import { ApiError, PROBLEMS, problemResponse } from './errors.ts';

describe('problems', () => {
  it('are served as RFC 9457 documents with Retry-After', async () => {
    const response = problemResponse(new ApiError('overloaded', 'Come back.', { retry_after: 2 }));
    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual({
      type: '/problems/overloaded',
      title: PROBLEMS.overloaded.title,
      status: 503,
      detail: 'Come back.',
      retry_after: 2,
    });
  });

  it('of a client at its own limit say it in headers, also where they come from the GPU worker', () => {
    const limits = { limit: 36, retry_after: 1 };
    const error = new ApiError('too-many-requests', 'Too many.', limits);
    const { status, headers } = problemResponse(ApiError.fromProblem(error.toProblem()));
    expect(status).toBe(429);
    expect(headers.get('retry-after')).toBe('1');
    expect(headers.get('ratelimit-policy')).toBe('"client";q=36;qu="concurrent-requests"');
    expect(headers.get('ratelimit')).toBe('"client";r=0;t=1');
  });

  it('are served with the headers of their error, which are no members', async () => {
    const headers = { 'accept-encoding': 'gzip' };
    const response = problemResponse(
      new ApiError('unsupported-content-encoding', 'No.', { headers }),
    );
    expect(response.headers.get('accept-encoding')).toBe('gzip');
    expect(await response.json()).not.toHaveProperty('headers');
  });

  it.each(['jobs-unavailable', 'not-configured'] as const)(
    'that last are not to be tried again: %s',
    (slug) => {
      const { headers } = problemResponse(new ApiError(slug, 'No.'));
      expect(headers.get('x-should-retry')).toBe('false');
    },
  );

  it('are the same after a round trip through a document', () => {
    const error = new ApiError('image-too-large', 'Too large.', { limit: 10, actual: 11 });
    expect(ApiError.fromProblem(error.toProblem()).toProblem()).toEqual(error.toProblem());
  });

  it.each(['/problems/of-tomorrow', '/problems/constructor', 'about:blank'])(
    'of an unknown type %s become bad-gateway',
    (type) => {
      const problem = { type, title: '', status: 418, detail: 'secret' };
      expect(ApiError.fromProblem(problem).toProblem()).toMatchObject({ status: 502 });
    },
  );

  it('never include the text of an unexpected error', () => {
    const problem = ApiError.from(new Error('password is hunter2')).toProblem();
    expect(problem.status).toBe(500);
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });
});
