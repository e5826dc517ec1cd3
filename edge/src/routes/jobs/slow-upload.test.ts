/** Uploads that take longer than a place without a word of them: they come slowly, and say all the while that they do. */
import { afterEach, expect, it, vi } from 'vitest';
import { JobIndex } from '../../jobs/job-index.ts';
import { SILENT_PLACE_MS } from '../../jobs/job-index-contract.ts';
import { RENEWAL_MS } from '../../jobs/living-place.ts';
import { startEdge } from '../../testing/edge.ts';

afterEach(() => void vi.useRealTimers());

const PIECES = (2 * SILENT_PLACE_MS) / RENEWAL_MS;
const LINE = `${JSON.stringify({ image: { sha256: '0'.repeat(64) } }).padEnd(2 ** 16)}\n`;

/** A piece for each renewal of its place. */
function slowly(name: 'renewJob' | 'renewFile', [first, last]: readonly [string, string]) {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] });
  const renew = vi.spyOn(JobIndex.prototype, name);
  const pieces = [first, ...Array.from({ length: PIECES }, () => LINE), last];
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = pieces[sent++];
      if (piece === undefined) {
        renew.mockRestore();
        controller.close();
        return;
      }
      controller.enqueue(new TextEncoder().encode(piece));
      if (sent < 2 || sent > PIECES) return;
      vi.advanceTimersByTime(RENEWAL_MS);
      await vi.waitFor(() => expect(renew.mock.calls.length).toBeGreaterThanOrEqual(sent - 1));
    },
  });
}

it('lines of a job that come for longer than a silent place is there create it', async () => {
  const { request } = startEdge();
  const reply = await request('/v1/jobs?task=caption', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', 'cf-connecting-ip': '203.0.113.61' },
    body: slowly('renewJob', [LINE, LINE]),
  });
  expect(reply.status, await reply.clone().text()).toBe(202);
});

it('a file that comes for longer than a silent place is there is stored', async () => {
  const { request } = startEdge();
  const field = (name: string) => `--b\r\ncontent-disposition: form-data; name="${name}`;
  const head = `${field('purpose"')}\r\n\r\nbatch\r\n${field('file"; filename="a.jsonl"')}\r\n\r\n`;
  const reply = await request('/v1/files', {
    method: 'POST',
    headers: {
      'content-type': 'multipart/form-data; boundary=b',
      'cf-connecting-ip': '203.0.113.62',
    },
    body: slowly('renewFile', [head, '\r\n--b--\r\n']),
  });
  expect(reply.status, await reply.clone().text()).toBe(200);
});
