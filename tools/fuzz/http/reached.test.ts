import { describe, expect, it } from 'vitest';
import type { ApiDocument } from './described.ts';
import { Reached } from './reached.ts';

const document: ApiDocument = {
  paths: {
    '/a': { get: { responses: {} }, post: { responses: {} } },
    '/b/{id}': { get: { responses: {} } },
  },
  components: { schemas: {} },
};

/** @param statuses of the replies to each operation */
function reachedBy(statuses: Record<string, readonly number[]>): Reached {
  const reached = new Reached(document);
  for (const [operation, replies] of Object.entries(statuses)) {
    const [method = '', path = ''] = operation.split(' ');
    for (const status of replies) reached.add(path, { method }, status);
  }
  return reached;
}
const refused = (count: number) => Array<number>(count).fill(404);

describe('operations', () => {
  it('that answer one of many inputs are reached', () => {
    const reached = reachedBy({
      'GET /a': [...refused(500), 200],
      'POST /a': [303],
      'GET /x': refused(99),
    });
    expect(() => reached.expectAll()).not.toThrow();
  });

  it('that refuse all of many are named', () => {
    const reached = reachedBy({
      'GET /a': [200],
      'GET /b/{id}': refused(60),
      'POST /a': refused(59),
    });
    expect(() => reached.expectAll()).toThrow(/GET \/b\/\{id\} refuses all of 60$/);
  });

  it('that have none of very many are named', () => {
    const reached = reachedBy({ 'GET /a': [200, ...refused(900)], 'POST /a': [200] });
    expect(() => reached.expectAll()).toThrow(/GET \/b\/\{id\} has had none$/);
  });
});
