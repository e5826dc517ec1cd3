/** Replies of an edge that does not show what was cached: a first request and a second read the same. */
import { imageIdOf } from '@blip2/shared/image-id';
import { expect, it } from 'vitest';
import { base64, eventsOf, newImage, startEdge } from '../testing/edge.ts';

const TELLTALE = /"cache"|"timings_ms":\{"|dur=/;

it.each<[string, string, Record<string, unknown>]>([
  ['captions', '/v1/captions', {}],
  ['answers', '/v1/answers', { question: 'what?' }],
  ['embeddings', '/v1/embeddings', {}],
  ['matching', '/v1/match', { texts: ['a dog'] }],
])('%s say neither', async (_what, path, members) => {
  const edge = startEdge({ env: { SHOW_CACHE: '0' } });
  const image = { data: base64(newImage()) };
  for (let turn = 0; turn < 2; turn++) {
    const response = await edge.post(path, { image, ...members });
    expect(response.status).toBe(200);
    const said = [...response.headers].join() + (await response.text());
    expect(said).not.toMatch(TELLTALE);
    await edge.settled();
  }
});

it('events of a stream and cached embeddings say neither', async () => {
  const edge = startEdge({ env: { SHOW_CACHE: '0' } });
  const bytes = newImage();
  const body = { image: { data: base64(bytes) }, stream: true };
  const events = await eventsOf(await edge.post('/v1/captions', body));
  expect(events.map(({ event }) => event)).toContain('done');
  expect(JSON.stringify(events)).not.toMatch(TELLTALE);
  await edge.settled();
  const cached = await edge.request(`/v1/embeddings/${await imageIdOf(bytes)}`);
  expect(cached.status).toBe(200);
  expect(await cached.text()).not.toMatch(TELLTALE);
});
