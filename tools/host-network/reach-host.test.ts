/** Hosts without a valid reply: how much of what they send is read, and what the network says of them. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Behavior, file, reply } from '../../test/support/image-host.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import { MAX_HEADER_BYTES } from './reach-host.ts';
import {
  endless,
  FAILURE,
  NAME,
  READ_BYTES,
  socketsTo,
  startHost,
  startNetwork,
} from './testing/hosts.ts';

const SWITCH = 'HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n';

describe('a host without a valid reply is a failure that says which', () => {
  const failureAt = async (ask: Awaited<ReturnType<typeof startNetwork>>, url: string) => {
    const { statusCode, headers } = await ask(url);
    expect(statusCode).toBe(502);
    return headers[FAILURE];
  };

  it.each(['cache-control: aaaaaa', 'x-a: a', 'location: /b'])(
    '14,000 lines of %s, of which no more is read than headers may have',
    async (line) => {
      const head = `HTTP/1.1 200 OK\r\n${`${line}\r\n`.repeat(14_000)}\r\n`;
      const host = await startHost({ '/a': (socket) => socket.write(head) });
      const ask = await startNetwork();
      const sockets = socketsTo(host.port);
      expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
      expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]);
      expect(sockets[0]?.bytesRead).toBeLessThanOrEqual(MAX_HEADER_BYTES + READ_BYTES);
    },
  );

  it.each([100, 102, 103])('informational replies (%i) without end', async (status) => {
    const { behavior, ended } = endless('', `HTTP/1.1 ${status} Wait\r\n\r\n`);
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    const sockets = socketsTo(host.port);
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
    await ended;
    expect(sockets[0]?.bytesRead).toBeLessThanOrEqual(2 * READ_BYTES);
  });

  it.each<[string, Behavior]>([
    ['none', (socket) => socket.end()],
    ['another protocol', (socket) => socket.end('220 ready\r\n\r\n')],
    ['a switch of protocols', (socket) => socket.write(SWITCH)],
    ['a switch without saying to which', reply(101, [])],
    ['a status that is none', reply(7, [])],
    ['two lengths', reply(200, ['Content-Length: 1', 'Content-Length: 2'], 'a')],
  ])('%s', async (_, behavior) => {
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
  });

  it('a port where nobody listens', async () => {
    const host = await startHost({});
    await host.stop();
    const ask = await startNetwork();
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
    expect(await failureAt(ask, `https://127.0.0.1:${host.port}/a`)).toBe('lost');
  });

  it('a certificate that nobody trusts, and no TLS at all', async () => {
    const secure = await startHost({ '/a': file('image/png', 'an image') }, await selfSigned());
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 X\r\n\r\n')).listen(0);
    onTestFinished(() => void plain.close());
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo;
    const ask = await startNetwork();
    expect(await failureAt(ask, `https://localhost:${secure.port}/a`)).toBe('insecure');
    expect(await failureAt(ask, `https://localhost:${port}/a`)).toBe('insecure');
    expect(secure.requests).toEqual([]);
  });

  it('a literal address that is not public', async () => {
    const host = await startHost({});
    const ask = await startNetwork({ allowPrivate: false });
    const sockets = socketsTo(host.port);
    for (const address of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1', '0x7f000001']) {
      expect(await failureAt(ask, `http://${address}:${host.port}/a`)).toBe('no-address');
    }
    expect(sockets).toEqual([]);
  });

  it('a name that resolves to private addresses', async () => {
    const host = await startHost({});
    const lookUp = async () => ['127.0.0.1', '::1', 'fe80::1', '169.254.169.254'];
    const ask = await startNetwork({ allowPrivate: false, lookUp });
    const sockets = socketsTo(host.port);
    expect(await failureAt(ask, `http://${NAME}:${host.port}/a`)).toBe('no-address');
    expect(sockets).toEqual([]);
  });

  it('a name that does not resolve', async () => {
    const lookUp = () => Promise.reject(new Error('ENOTFOUND'));
    for (const allowPrivate of [true, false]) {
      const ask = await startNetwork({ allowPrivate, lookUp });
      expect(await failureAt(ask, `https://${NAME}/a`)).toBe('no-address');
    }
  });
});
