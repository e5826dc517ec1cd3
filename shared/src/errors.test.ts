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
