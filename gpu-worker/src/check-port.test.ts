/** Which addresses can be listened on, and what is said of those that cannot. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { freePort, urlOf } from './check-port.ts';

const variables = { host: 'HOST', port: 'PORT' };

async function occupied() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.close();
    await once(server, 'close');
  };
  return { port, [Symbol.asyncDispose]: close };
}

describe('a port', () => {
  it('is any free one for 0, and can be listened on afterwards', async () => {
    const port = await freePort({ host: '127.0.0.1', port: 0 }, { variables });
    expect(port).toBeGreaterThan(0);
    expect(await freePort({ host: '127.0.0.1', port }, { variables })).toBe(port);
  });

  it.each(['127.0.0.1', '0.0.0.0'])('that is taken is refused on %s', async (host) => {
    await using other = await occupied();
    const { port } = other;
    await expect(freePort({ host, port }, { variables })).rejects.toThrow(
      `Port ${port} is taken. Choose another: PORT=${port + 1}`,
    );
  });

  it('that one of ours has is named with its URL', async () => {
    await using other = await occupied();
    const { port } = other;
    const nameOccupant = async (url: string) => `What answers ${url}`;
    const url = `http://127.0.0.1:${port}`;
    await expect(freePort({ host: '0.0.0.0', port }, { variables, nameOccupant })).rejects.toThrow(
      `What answers ${url} is already running at ${url}.`,
    );
  });

  it.each(['192.0.2.1', 'x86_64-linux-gnu.invalid'])(
    'is refused on %s, which is no address of this machine',
    async (host) => {
      await expect(freePort({ host, port: 0 }, { variables })).rejects.toThrow(
        `HOST=${host} is no address of this machine`,
      );
    },
  );
});

it.each([
  ['127.0.0.1', 'http://127.0.0.1:80'],
  ['0.0.0.0', 'http://127.0.0.1:80'],
  ['::', 'http://[::1]:80'],
  ['fe80::1', 'http://[fe80::1]:80'],
  ['gpu.example', 'http://gpu.example:80'],
])('this machine reaches what listens on %s at %s', (host, url) => {
  expect(urlOf({ host, port: 80 })).toBe(url);
});
