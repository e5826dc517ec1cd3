/** Deletions that come together: what they keep from others. */
import { expect, it } from 'vitest';
import { startEdge, testEnv } from '../testing/edge.ts';
import { WorkInHand } from '../work-in-hand.ts';
import { inDeletionTurn } from './deletion-turns.ts';

// Turns are of all tests together: those of a client of its own are this one's alone.
const CLIENT = { 'cf-connecting-ip': '2001:db8:de1::1' };
const kv = testEnv.EMBEDDINGS;
const imageAt = (n: number) => `/v1/images/${n.toString(16).padStart(64, 'd')}`;

it('are done one at a time, with room for others, and the last of too many are refused', async () => {
  let [running, most] = [0, 0];
  const EMBEDDINGS = new Proxy(kv, {
    get: (target, name) => {
      if (name !== 'list') return Reflect.get(target, name).bind(target);
      return async (...args: Parameters<KVNamespace['list']>) => {
        running += 1;
        most = Math.max(most, running);
        // Of a million entries.
        await new Promise((resolve) => setTimeout(resolve, 30));
        const list = await target.list(...args);
        running -= 1;
        return list;
      };
    },
  });
  const edge = startEdge({ env: { EMBEDDINGS, ALLOW_ANONYMOUS_DELETE: 'true' } });
  edge.deps.work = new WorkInHand(300);
  const deleted = Array.from({ length: 300 }, async (_, n) => {
    const reply = await edge.request(imageAt(n), { method: 'DELETE', headers: CLIENT });
    return reply.status === 204 ? 'deleted' : ((await reply.json()) as { type: string }).type;
  });
  // None of the places is theirs while they wait.
  await expect.poll(async () => (await edge.request('/v1/models')).status).toBe(200);
  const counts = Object.groupBy(await Promise.all(deleted), (outcome) => outcome);
  const { deleted: done = [], '/problems/too-many-requests': refused = [], ...others } = counts;
  // In the five seconds of a client, at the most that one of them may count.
  expect(done.length).toBeGreaterThanOrEqual(5);
  expect(refused.length).toBeGreaterThan(20);
  // Of those that waited long for their own turn, some find that of all taken.
  expect(Object.keys(others).filter((type) => type !== '/problems/overloaded')).toEqual([]);
  // The lists of one deletion: of embeddings, and of replies.
  expect(most).toBeLessThanOrEqual(2);
}, 60_000);

it('of whoever has left, or has a reply, while they waited are not done', async () => {
  let deleted = 0;
  const remove = async () => void deleted++;
  const now = () => 1000;
  const open = new AbortController().signal;
  const left = { client: 'left', signal: AbortSignal.abort(), deadlineAt: 2000 };
  await expect(inDeletionTurn(remove, { now }, left)).rejects.toThrow('later');
  const late = { client: 'late', signal: open, deadlineAt: 1000 };
  await expect(inDeletionTurn(remove, { now }, late)).rejects.toThrow('later');
  expect(deleted).toBe(0);
  await inDeletionTurn(remove, { now }, { client: 'waits', signal: open, deadlineAt: 2000 });
  expect(deleted).toBe(1);
});
