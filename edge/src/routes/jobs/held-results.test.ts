/** Results that nobody reads have as much memory as their lines need, and count so. */
import { expect, it, vi } from 'vitest';
import { partKey } from '../../jobs/contract.ts';
import { startEdge } from '../../testing/edge.ts';
import { bucket, createJob } from '../../testing/jobs.ts';

const KIBIBYTE = 1024;
const LINE = 400 * KIBIBYTE;

/** A job, or a batch, that has ended, of so many long lines, and how a client of its own asks for them. */
async function ended(kind: 'job' | 'batch', lines: number) {
  const edge = startEdge({
    env: { CLIENT_ADDRESS_HEADER: 'x-address', MAX_HELD_BYTES: String(1000 * KIBIBYTE) },
  });
  const body = { image: { url: 'https://images.example.org/a.png' } };
  const item = { custom_id: 'a', method: 'POST', url: '/v1/captions', body };
  const job = await createJob(
    Array(lines)
      .fill(0)
      .map((_, n) => ({ ...item, custom_id: `${n}` })),
    { kind },
  );
  await job.run();
  const { order } = await job.snapshot();
  const line = (item: number) =>
    JSON.stringify({
      ...{ part: 0, item, custom_id: `${item}`, outcome: 'completed', status: 200 },
      ...{ body: { embeddings: 'x'.repeat(LINE) }, error: null },
    });
  const stored = Array.from({ length: lines }, (_, item) => `${line(item)}\n`).join('');
  await bucket.put(partKey({ owner: order.owner, job: job.id, part: 0 }, 'out'), stored);
  const address = `2001:db8:${crypto.randomUUID().slice(0, 4)}::1`;
  const request = (path: string, headers = {}) =>
    edge.request(path, { headers: { 'x-address': address, ...headers } });
  return { request, id: job.id };
}

it.each([
  ['of a job', 'job', (id: string) => `/v1/jobs/job_${id}/results`, {}],
  [
    'of a job, a byte of them',
    'job',
    (id: string) => `/v1/jobs/job_${id}/results`,
    { range: 'bytes=0-0' },
  ],
  ['of a batch', 'batch', (id: string) => `/v1/files/file-${id}-output/content`, {}],
] as const)(
  'results %s count by their longest line until they are read',
  async (_, kind, pathOf, headers) => {
    const { request, id } = await ended(kind, 3);
    const get = () => request(pathOf(id), headers);
    const first = await get();
    expect(first.ok, await (first.ok ? '' : first.text())).toBe(true);
    const refused = await get();
    expect(refused.status).toBe(429);
    const { length } = await first.bytes();
    if ('range' in headers) expect(length).toBe(1);
    else expect(length).toBeGreaterThan(3 * LINE);
    await vi.waitFor(async () => {
      const again = await get();
      await again.body?.cancel();
      expect(again.ok).toBe(true);
    });
  },
);
