/** A download from a service that breaks off, or is none. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { connect } from './api.ts';
import { download } from './download.ts';
import { watchJob } from './watch.ts';

// Nobody waits for another try here.
vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }));

async function serving<T>(
  answer: RequestListener,
  work: (api: ReturnType<typeof connect>) => Promise<T>,
): Promise<T> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await work(
      connect({ url: `http://127.0.0.1:${port}`, key: undefined, onWait: () => {} }),
    );
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const sink = { have: 0, write: async () => {}, onWait: () => {} };

test('a byte before each break is no progress', async () => {
  let requests = 0;
  const answer: RequestListener = (request, response) => {
    requests++;
    const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': 1000,
      'content-range': `bytes ${from}-${from + 999}/100000`,
    });
    response.write('x', () => response.destroy());
  };
  const downloading = serving(answer, (api) => download(api, '/', sink));
  await expect(downloading).rejects.toThrow('broke off again and again');
  expect(requests).toBe(6);
});

test('a range that begins elsewhere is refused', async () => {
  const answer: RequestListener = (_, response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-2/3' });
    response.end('abc');
  };
  const downloading = serving(answer, (api) => download(api, '/', { ...sink, have: 2 }));
  await expect(downloading).rejects.toThrow('begins at byte 2');
});

test('an event that is none of the service ends the watch', async () => {
  const answer: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end('event: progress\ndata: {\n\n');
  };
  const watching = serving(answer, (api) => watchJob(api, 'job_1'));
  await expect(watching).rejects.toThrow('not what this client knows');
});

test('of a refusal without an end the beginning is read', async () => {
  const answer: RequestListener = (_, response) => {
    response.writeHead(400);
    const more = () => response.destroyed || response.write('x'.repeat(2 ** 16), more);
    more();
  };
  const asking = serving(answer, (api) => api.request('/'));
  await expect(asking).rejects.toThrow('400');
});
