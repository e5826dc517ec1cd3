import { describe, expect, it } from 'vitest';
import { newImage, startEdge } from '../testing/edge.ts';

const png = { 'content-type': 'image/png' };

describe('requests with one Idempotency-Key', () => {
  it('run once, and get the same bytes', async () => {
    const edge = startEdge();
    const image = newImage();
    const headers = { ...png, 'idempotency-key': crypto.randomUUID() };
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => edge.post('/v1/captions', image, headers)),
    );
    const bodies = await Promise.all(replies.map((reply) => reply.text()));
    expect(bodies[0]).toContain('a red dog');
    expect(new Set(bodies).size).toBe(1);
    expect(edge.gpu.received).toHaveLength(1);
    await edge.settled();
    const later = await edge.post('/v1/captions', image, headers);
    expect(await later.text()).toBe(bodies[0]);
    expect(later.headers.get('idempotent-replayed')).toBe('true');
  });
});
