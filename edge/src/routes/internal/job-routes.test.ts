import { commitPath } from '@blip2/shared/jobs/commit';
import { SIGNATURE_HEADER } from '@blip2/shared/jobs/signature';
import { expect, test } from 'vitest';
import { startEdge } from '../../testing/edge.ts';

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
