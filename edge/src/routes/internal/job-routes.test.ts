import zlib from 'node:zlib';
import { ApiError } from '@blip2/shared/errors';
import { commitPath, sourcePath } from '@blip2/shared/jobs/commit';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import { expect, test, vi } from 'vitest';
import { newImage, startEdge, testEnv } from '../../testing/edge.ts';
import { dearWork, isDear } from '../../turns/dear-work.ts';

test('a commit of which half is sent, by whomever, is given up', async () => {
  const { request } = startEdge({ env: { REQUEST_DEADLINE_MS: '50' } });
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"results":[')),
  });
  const headers = { [SIGNATURE_HEADER]: `t=${Date.now()},v1=${'0'.repeat(64)}` };
  const path = commitPath('a'.repeat(96), 0);
  const { status } = await request(path, { method: 'POST', headers, body });
  expect(status).toBe(504);
});

test.each([
  ['too-many-requests', true],
  ['overloaded', true],
  ['image-url-failed', false],
] as const)(
  'a worker hears of %s, and whether that is a refusal of the edge',
  async (slug, isRefusal) => {
    const edge = startEdge();
    const url = 'https://images.example/refused.png';
    const sourceFailed = vi.fn(async () => false);
    const part = {
      source: async () => ({ kind: 'url', url, client: 'a', failures: 2 }),
      sourceFailed,
    };
    edge.deps.jobParts = { getByName: () => part } as unknown as typeof edge.deps.jobParts;
    edge.gpu.web.set(url, () => new Response(newImage(100_000)));
    const path = sourcePath('c'.repeat(96) as never, 0 as never, 0);
    const request = { method: 'GET', path, body: new Uint8Array(0) };
    const signature = await sign(String(testEnv.JOBS_SECRET), request, Date.now());
    const turn = vi.spyOn(dearWork, 'turn').mockImplementation(async () => {
      throw new ApiError(slug, 'Not now.');
    });
    try {
      const { status } = await edge.request(path, { headers: { [SIGNATURE_HEADER]: signature } });
      expect(status).toBe(503);
      const problem = expect.objectContaining({ detail: 'Not now.' });
      const mayPass = isRefusal;
      expect(sourceFailed.mock.calls).toEqual([[0, problem, mayPass, isRefusal]]);
    } finally {
      turn.mockRestore();
    }
  },
);

test('an image of an item waits for a turn of its client before it is inflated, and before it is hashed', async () => {
  const edge = startEdge({ env: { MAX_IMAGE_BYTES: '20000000' } });
  const url = 'https://images.example/of-a-job.png';
  const part = { source: async () => ({ kind: 'url', url, client: 'of the job' }) };
  edge.deps.jobParts = { getByName: () => part } as unknown as typeof edge.deps.jobParts;
  const image = newImage(6_000_000);
  crypto.getRandomValues(image.subarray(64, 65_600));
  crypto.getRandomValues(image.subarray(65_600, 131_136));
  const sent = new Uint8Array(zlib.gzipSync(image));
  const headers = { 'content-encoding': 'gzip' };
  edge.gpu.web.set(
    url,
    () => new Response(sent, { headers, encodeBody: 'manual' } as ResponseInit),
  );
  const path = sourcePath('b'.repeat(96) as never, 0 as never, 0);
  const request = { method: 'GET', path, body: new Uint8Array(0) };
  const signature = await sign(String(testEnv.JOBS_SECRET), request, Date.now());
  const turns: [string, boolean][] = [];
  const turn = vi.spyOn(dearWork, 'turn').mockImplementation(async (client, ms, { longestMs }) => {
    turns.push([client, isDear(ms)]);
    expect(longestMs).toBeLessThanOrEqual((2 / 3) * edge.deps.config.deadlineMs);
  });
  try {
    const { status } = await edge.request(path, { headers: { [SIGNATURE_HEADER]: signature } });
    expect(status).toBe(200);
    expect(turns).toEqual(Array(2).fill(['of the job', true]));
  } finally {
    turn.mockRestore();
  }
});
