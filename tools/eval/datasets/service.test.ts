/** Failures that may pass are waited out; others name the image. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Service } from './service.ts';

let folder: string;
let image: string;
let server: Server;
let service: Service;
/** What the server does with the next requests; afterwards each is a reply. */
let failures: (number | 'hang up')[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-service-'));
  image = join(folder, 'image.webp');
  await writeFile(image, 'bytes');
  server = createServer((request, response) => {
    const failure = failures.shift();
    if (failure === 'hang up') return void request.socket.destroy();
    response.statusCode = failure ?? 200;
    response.setHeader('content-type', 'application/json');
    if (failure === undefined)
      return void response.end(JSON.stringify({ embeddings: [[1]], kind: 'itc', model: 'm' }));
    response.end('{"title": "no"}');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  service = new Service(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

it.each([[429], [503], ['hang up' as const]])('waits out %s', async (failure) => {
  failures = [failure];
  expect((await service.embedTexts(['a'])).embeddings).toEqual([[1]]);
  expect(failures).toEqual([]);
});

it('names the image that the API refuses, at once', async () => {
  failures = [415, 415];
  await expect(
    service.caption(image, null, { num_beams: 1, max_tokens: 9, min_tokens: 1, length_penalty: 1 }),
  ).rejects.toThrow(`${image}: 415`);
  expect(failures).toEqual([415]);
  failures = [];
});
