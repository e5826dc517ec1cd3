/** Documents that are the same for all, to clients that ask and do not read. */
import { expect, it } from 'vitest';
import { startEdge } from '../testing/edge.ts';

let clients = 0;

it.each([
  ['/', 'edge.test'],
  ['/docs', 'edge.test'],
  // It is put together for each.
  ['/docs', 'another.test'],
  ['/openapi.json', 'edge.test'],
])('%s of %s has a bound for those that are not read', async (path, host) => {
  const edge = startEdge();
  const headers = { 'cf-connecting-ip': `10.99.${clients++}.1` };
  const ask = () => edge.request(path, { headers }, `http://${host}`);
  if (host !== 'edge.test') await (await edge.request(path)).body?.cancel();
  const unread: Response[] = [];
  let last = await ask();
  for (; last.status === 200 && unread.length < 300; last = await ask()) unread.push(last);
  expect([last.status, unread.length]).toEqual([429, 128]);
  expect(await last.json()).toMatchObject({ type: '/problems/too-many-requests' });
  // What is handed on is a piece of each.
  const [first, ...others] = unread;
  const lengths: number[] = [];
  for await (const piece of first?.body ?? []) lengths.push(piece.length);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(2 ** 16);
  for (const { body } of others) await body?.cancel();
  const next = await ask();
  expect(next.status).toBe(200);
  expect((await next.arrayBuffer()).byteLength).toBe(lengths.reduce((sum, n) => sum + n, 0));
});
