import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it } from 'vitest';
import { Drain } from './drain.ts';

async function listening(onRequest: (response: ServerResponse) => void) {
  const server = createServer((_, response) => onRequest(response));
  const drain = new Drain(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, drain, port, url: `http://127.0.0.1:${port}` };
}

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
