import { expect, it } from 'vitest';
import { type ModelKind, type Routable, route } from './route.ts';

it.each<[Routable, ModelKind]>([
  [{ kind: 'generate' }, 'generate'],
  [{ kind: 'embed', embedding: 'query' }, 'generate'],
  [{ kind: 'embed', embedding: 'itc' }, 'retrieve'],
  [{ kind: 'match' }, 'retrieve'],
  [{ kind: 'embed-texts' }, 'retrieve'],
])('%j is served by the bundle of kind %s', (request, kind) => {
  expect(route(request)).toBe(kind);
});
