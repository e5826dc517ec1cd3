import { expect, it } from 'vitest';
import { createApp } from '../app.ts';
import type { Dependencies } from '../dependencies.ts';
import { startEdge } from '../testing/edge.ts';
import { sharedApp } from './shared-app.ts';

it('is built once, and answers each request by its own dependencies', async () => {
  let built = 0;
  const appOf = sharedApp((deps) => {
    built++;
    return createApp(deps);
  });
  const { deps } = startEdge();
  const named = (name: string): Dependencies => {
    const generate = { ...deps.models.generate, name };
    return { ...deps, models: { ...deps.models, generate } };
  };
  const apps = ['one', 'two', 'three'].map((name) => appOf(named(name)));
  const context = { waitUntil: () => {}, passThroughOnException: () => {} };
  const replies = await Promise.all(
    apps.map(async (app) => {
      const request = new Request('http://edge.test/v1/models');
      const reply = await app.fetch(request, {}, context as unknown as ExecutionContext);
      return ((await reply.json()) as { data: { id: string }[] }).data[0]?.id;
    }),
  );
  expect(replies).toEqual(['one', 'two', 'three']);
  expect(built).toBe(1);
});
