/** Hosts that reply, reached over the network. */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { file, reply } from '../../test/support/image-host.ts';
import { serviceOf, startHostNetwork } from './host-network.ts';
import { MAX_INFORMATION, SMALL_PIECES } from './reach-host.ts';
import { endless, FAILURE, NAME, startHost, startNetwork } from './testing/hosts.ts';

describe('a host that is reached', () => {
  it('gets the request as it is, and its reply is handed on with the headers that are read', async () => {
    const gzipped = gzipSync('an image');
    const host = await startHost({
      '/a?b=c': reply(
        201,
        [
          'Content-Type: image/png',
          'Content-Type: text/html',
          'Content-Encoding: gzip',
          `Content-Length: ${gzipped.length}`,
          'Cache-Control: no-store',
          'Set-Cookie: a=b',
          `${FAILURE}: insecure`,
        ],
        gzipped,
      ),
    });
    const ask = await startNetwork();
    const headers = { 'user-agent': 'edge/1', 'webhook-id': 'evt_1', 'content-length': '2' };
    const url = `http://127.0.0.1:${host.port}/a?b=c`;
    const response = await ask(url, { method: 'POST', headers, body: '{}' });
    const { date: _, connection: __, ...rest } = response.headers;
    expect([response.statusCode, rest]).toEqual([
      201,
      {
        'content-type': 'image/png',
        'content-encoding': 'gzip',
        'content-length': String(gzipped.length),
      },
    ]);
    expect(Buffer.concat(await response.toArray())).toEqual(gzipped);
    const [head, body] = host.requests[0]?.split('\r\n\r\n') ?? [];
    const [line, ...fields] = head?.split('\r\n') ?? [];
    expect(line).toBe('POST /a?b=c HTTP/1.1');
    expect(fields.map((field) => field.toLowerCase()).sort()).toEqual([
      'connection: close',
      'content-length: 2',
      `host: 127.0.0.1:${host.port}`,
      'user-agent: edge/1',
      'webhook-id: evt_1',
    ]);
    expect(body).toBe('{}');
  });

  it('is left where it redirects', async () => {
    const host = await startHost({ '/a': reply(302, ['Location: /b', 'Content-Length: 0']) });
    const ask = await startNetwork();
    const { statusCode, headers } = await ask(`http://127.0.0.1:${host.port}/a`);
    expect([statusCode, headers.location]).toEqual([302, '/b']);
    expect(host.requests).toHaveLength(1);
  });

  it('has its reply after a few of those before it', async () => {
    const hints = 'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n'.repeat(MAX_INFORMATION);
    const host = await startHost({
      '/a': (socket) => socket.end(`${hints}HTTP/1.1 200 OK\r\n\r\nan image`),
    });
    const ask = await startNetwork();
    expect(await text(await ask(`http://127.0.0.1:${host.port}/a`))).toBe('an image');
  });

  it('sends small chunks, of which few pieces are made', async () => {
    const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'.concat(
      '1\r\na\r\n'.repeat(SMALL_PIECES),
      '0\r\n\r\n',
    );
    const host = await startHost({ '/a': (socket) => socket.end(chunks) });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    expect(await text(response)).toBe('a'.repeat(SMALL_PIECES));
    expect(response.socket.bytesRead).toBeLessThan(2 * SMALL_PIECES);
  });

  it('is left where it sends nothing but tiny chunks', async () => {
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const { behavior, ended } = endless(head, '1\r\na\r\n');
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    await expect(text(response)).rejects.toThrow('aborted');
    await ended;
  });

  it('may send chunks that are as small as any in use', async () => {
    const chunks = `80\r\n${'a'.repeat(128)}\r\n`.repeat(10 * SMALL_PIECES);
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const host = await startHost({ '/a': (socket) => socket.end(`${head}${chunks}0\r\n\r\n`) });
    const ask = await startNetwork();
    const body = await text(await ask(`http://127.0.0.1:${host.port}/a`));
    expect(body).toHaveLength(1280 * SMALL_PIECES);
  });

  it('sees its connection end where nobody reads any further', async () => {
    const { behavior, ended } = endless('HTTP/1.1 200 OK\r\n\r\n', 'an image');
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    await once(response, 'readable');
    response.destroy();
    await ended;
  });

  it('breaks off, and so does its reply', async () => {
    const host = await startHost({ '/a': reply(200, ['Content-Length: 9'], 'half') });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    expect(response.headers['content-length']).toBe('9');
    await expect(text(response)).rejects.toThrow('aborted');
  });
});

it('a name is looked up once, and its host reached at one of these addresses', async () => {
  const host = await startHost({ '/a': file('image/png', 'an image') });
  const names: string[] = [];
  const lookUp = async (name: string) => {
    names.push(name);
    return names.length === 1 ? ['127.0.0.2', '127.0.0.1'] : ['192.0.2.1'];
  };
  const ask = await startNetwork({ lookUp });
  expect(await text(await ask(`http://${NAME}:${host.port}/a`))).toBe('an image');
  expect(names).toEqual([NAME]);
});

it('a look-up ends where nobody waits for it any more', async () => {
  const { promise: begun, resolve } = Promise.withResolvers<AbortSignal>();
  const lookUp = (_: string, signal: AbortSignal) => {
    resolve(signal);
    return new Promise<never>((_, reject) => signal.addEventListener('abort', reject));
  };
  const network = await startHostNetwork({ allowPrivate: false, lookUp });
  onTestFinished(network.stop);
  const { address, http } = serviceOf(network).external;
  const [{ name, value }] = http.injectRequestHeaders as [{ name: string; value: string }];
  const [host, port] = address.split(':');
  const options = { host, port, path: `http://${NAME}/`, agent: false } as const;
  const request = httpRequest({ ...options, headers: { [name]: value } });
  request.on('error', () => {}).end();
  const signal = await begun;
  request.destroy();
  await once(signal, 'abort');
});

it('other programs are refused', async () => {
  const host = await startHost({});
  const ask = await startNetwork();
  for (const secret of ['', 'a'.repeat(48)]) {
    const { statusCode } = await ask(`http://127.0.0.1:${host.port}/a`, { secret });
    expect(statusCode).toBe(403);
  }
  expect(host.requests).toEqual([]);
});
