import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { Connections } from './connections.ts';

async function listening(onRequest: (response: ServerResponse) => void, many?: number) {
  const server = createServer((_, response) => onRequest(response));
  const drain = new Connections(server, many);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, drain, port, url: `http://127.0.0.1:${port}` };
}

/** A connection that has sent this, and not yet got anything. */
async function opened(server: Server, port: number, text: string): Promise<Socket> {
  const accepted = once(server, 'connection');
  const socket = connect(port, '127.0.0.1');
  socket.write(text);
  await accepted;
  return socket;
}

it.each([
  ['without a request', ''],
  ['with half a header', 'POST / HTTP/1.1\r\nHost: x\r\nX-Slow: '],
  ['kept after their reply', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
])('of very many connections %s, the oldest gives way to a new one', async (_what, text) => {
  const { server, drain, port, url } = await listening((response) => response.end('well'), 20);
  const many: Socket[] = [];
  for (let i = 0; i < 20; i++) many.push(await opened(server, port, text));
  if (text.startsWith('GET')) {
    await Promise.all(many.map((socket) => once(socket, 'data')));
  }
  const closed = once((many[0] as Socket).resume(), 'close');
  expect(await (await fetch(url)).text()).toBe('well');
  await closed;
  expect(many.slice(1).filter((socket) => socket.closed)).toEqual([]);
  await drain.drain();
});

it('of very many connections, those with a reply under way stay', async () => {
  const replies: ServerResponse[] = [];
  const { server, drain, port, url } = await listening((response) => replies.push(response), 2);
  const slow = fetch(url);
  await once(server, 'request');
  const idle = await opened(server, port, '');
  const closed = once(idle.resume(), 'close');
  const second = once(server, 'request');
  const last = fetch(url);
  await Promise.all([closed, second]);
  for (const [i, reply] of replies.entries()) reply.end(String(i));
  expect([await (await slow).text(), await (await last).text()]).toEqual(['0', '1']);
  await drain.drain();
});

it('closes a connection that nobody has used', async () => {
  const { server, drain, port } = await listening((response) => response.end());
  const accepted = once(server, 'connection');
  const socket = connect(port, '127.0.0.1');
  await accepted;
  const closed = once(socket.resume(), 'close');
  await drain.drain();
  await closed;
});

it('closes a connection that a reply was sent on, whatever its keep-alive', async () => {
  const { drain, url } = await listening((response) => response.end('well'));
  expect(await (await fetch(url)).text()).toBe('well');
  await drain.drain();
});

it('lets a reply that is under way come to its end', async () => {
  const replies: ServerResponse[] = [];
  const { drain, url } = await listening((response) => {
    response.write('one ');
    replies.push(response);
  });
  const response = await fetch(url);
  const drained = drain.drain();
  replies[0]?.end('two');
  expect(await response.text()).toBe('one two');
  await drained;
});
