import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HttpInput } from './exchange.ts';
import { markOf, StoredThings } from './stored-things.ts';

let server: Server;
let stored: string[];
let things: StoredThings;

beforeEach(async () => {
  stored = [];
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      stored.push(request.url ?? '');
      response.writeHead(201).end(JSON.stringify({ id: `id${stored.length}` }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  things = new StoredThings(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(() => void server.close());

const input = (target: string, body = ''): HttpInput => ({
  ...{ method: 'POST', target, headers: [], cuts: [], leaveAfter: null },
  body: new TextEncoder().encode(body),
});
const resolved = async (target: string, body?: string) => {
  const { input: made, kinds } = await things.resolve(input(target, body));
  return { target: made.target, body: new TextDecoder().decode(made.body), kinds };
};

it('inputs that name nothing stored are as they were', async () => {
  expect(await resolved('/v1/captions', '{"é":1}')).toEqual({
    target: '/v1/captions',
    body: '{"é":1}',
    kinds: [],
  });
  expect(stored).toEqual([]);
});

it('marks become the ids of things that are stored once, in paths and bodies', async () => {
  const path = `/v1/files/${markOf('file')}/content`;
  const body = `{"é":"${markOf('file')}","input_file_id":"${markOf('lines')}"}`;
  const { target, body: made, kinds } = await resolved(path, body);
  expect(target).toMatch(/^\/v1\/files\/id[12]\/content$/);
  expect(made).toMatch(/^\{"é":"id[12]","input_file_id":"id[12]"\}$/);
  expect(kinds).toEqual(['file', 'lines']);
  expect((await resolved(path)).target).toBe(target);
  expect(stored).toEqual(['/v1/files', '/v1/files']);
});

it('another takes the place of one that is gone, and of no other', async () => {
  const path = `/v1/jobs/${markOf('job')}`;
  const first = await resolved(path);
  things.forget(first.kinds, 200);
  expect((await resolved(path)).target).toBe(first.target);
  things.forget(first.kinds, 404);
  expect((await resolved(path)).target).not.toBe(first.target);
});
