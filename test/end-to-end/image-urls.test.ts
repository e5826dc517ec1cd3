/** Images by URL, fetched by the real service from hosts that label and send them as real ones do, and fail as they do. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import {
  type Behavior,
  file,
  type ImageHost,
  reply,
  startImageHost,
} from '../support/image-host.ts';
import { selfSigned } from '../support/self-signed.ts';
import { testImages } from '../support/test-images.ts';

const GOLDEN = new URL('../parity/golden/images/', import.meta.url);

let stack: Stack;
let host: ImageHost;
let image: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  const [first] = await testImages(1);
  image = first!.bytes;
  const half = image.subarray(0, image.length / 2);
  const length = `Content-Length: ${image.length}`;
  const moved: Behavior = (socket, request) => {
    const to = request.includes(' /moved ') ? '/moved-again' : '/image';
    reply(302, [`Location: ${to}`, 'Content-Length: 0'])(socket);
  };
  host = await startImageHost({
    '/image': file('application/octet-stream', image),
    '/html': file('text/html', image),
    '/none': file(undefined, image),
    '/moved': moved,
    '/moved-again': moved,
    '/cut': reply(200, ['Content-Type: image/webp', length], half),
    '/reset': (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${length}\r\n\r\n`);
      socket.write(half, () => socket.resetAndDestroy());
    },
    '/chunks-cut': (socket) => {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nRIFF\r\n');
    },
    '/no-gzip': reply(200, ['Content-Encoding: gzip', 'Content-Length: 9'], 'no image.'),
    '/called-gzip': reply(200, ['Content-Encoding: gzip', length], image),
    '/silent': () => {},
    '/stalls': (socket) => socket.write(`HTTP/1.1 200 OK\r\n${length}\r\n\r\nRIFF`),
    '/hangs-up': (socket) => socket.end(),
    '/headers': reply(200, [...Array(14_000).fill('Cache-Control: aaaaaa'), length], image),
    '/informs': (socket) => {
      const hints = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100);
      const more = () => {
        while (socket.writable && socket.write(hints));
      };
      socket.on('drain', more);
      more();
    },
    '/no-http': (socket) => socket.end('220 ready\r\n\r\n'),
    '/large': reply(200, ['Content-Length: 30000000']),
    '/empty': file('image/png', ''),
    '/loop': reply(302, ['Location: /loop', 'Content-Length: 0']),
    '/forbidden': reply(403, ['Content-Type: application/xml'], '<?xml version="1.0"?><Error/>'),
    '/expired': file(
      'application/xml',
      '<?xml version="1.0"?>\n<Error><Code>Expired</Code></Error>',
    ),
    '/animated.avif': file(undefined, await readFile(new URL('animated.avif', GOLDEN))),
    '/animated.webp': file(undefined, await readFile(new URL('animated.webp', GOLDEN))),
  });
  stack = await startStack({ vars: { ALLOW_PRIVATE_IMAGE_URLS: '1' }, logLevel: 'none' });
});
afterAll(async () => {
  await stack?.stop();
  await host?.stop();
});

async function embed(body: unknown) {
  const response = await fetch(`${stack.url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Record<string, unknown>;
}
const fetched = (url: string) => embed({ image: { url } });
const at = (path: string) => `http://127.0.0.1:${host.port}${path}`;

describe('an image by its URL', () => {
  it.each(['/image', '/html', '/none', '/moved'])('is embedded from %s', async (path) => {
    expect(await fetched(at(path))).toMatchObject({ image: { format: 'webp' } });
  });

  it('is asked for with a User-Agent that has a contact, taking anything', async () => {
    await fetched(at('/image'));
    const head = host.requests.at(-1);
    expect(head).toMatch(/^user-agent: blip2-edge\/\d\S* \(\+https:\/\/\S+\)\r$/im);
    expect(head).toMatch(/^accept: .*\*\/\*;q=/im);
  });

  it.each(['/animated.avif', '/animated.webp'])(
    'has its number of frames in the reply, from a cache too: %s',
    async (path) => {
      const first = await fetched(at(path));
      expect(first).toMatchObject({ cache: 'miss', image: { frames: 3 } });
      const { sha256 } = first.image as { sha256: string };
      const again = await embed({ image: { sha256 } });
      expect(again).toMatchObject({ cache: 'colo', image: first.image });
    },
  );
});

describe('each failure of a host has its own detail', () => {
  const COMPLETE = /ended before the image was complete/;
  it.each<[string, RegExp]>([
    ['/cut', COMPLETE],
    ['/reset', COMPLETE],
    ['/chunks-cut', COMPLETE],
    ['/no-gzip', /called its reply compressed/],
    ['/silent', /had not replied after 5000 ms/],
    ['/stalls', /had not sent all of the image after 5000 ms/],
    ['/hangs-up', /refused the connection, or closed it/],
    ['/headers', /refused the connection, or closed it/],
    ['/informs', /refused the connection, or closed it/],
    ['/no-http', /refused the connection, or closed it/],
    ['/empty', /status 200 and no bytes/],
    ['/loop', /in a circle/],
    ['/forbidden', /status 403: it refuses access/],
    ['/missing', /status 404: nothing is there/],
    ['/expired', /status 200 as application\/xml.*an XML error document/],
  ])('%s', async (path, detail) => {
    expect(await fetched(at(path))).toMatchObject({
      status: 400,
      type: '/problems/image-url-failed',
      field: 'image.url',
      detail: expect.stringMatching(detail),
    });
  });

  it('too many bytes, by their announced number', async () => {
    expect(await fetched(at('/large'))).toMatchObject({ status: 413, actual: 30_000_000 });
  });

  it('a port where nobody listens', async () => {
    const gone = await startImageHost({});
    await gone.stop();
    expect(await fetched(`http://127.0.0.1:${gone.port}/a.png`)).toMatchObject({
      detail: expect.stringMatching(/refused the connection/),
    });
  });

  it.each(['http', 'https'])('a name that does not resolve, by %s', async (protocol) => {
    expect(await fetched(`${protocol}://images.invalid/a.png`)).toMatchObject({
      detail: expect.stringMatching(/images\.invalid, does not resolve/),
    });
  });

  it('a certificate that is signed by nobody known', async () => {
    const secure = await startImageHost(
      { '/image': file('image/webp', image) },
      await selfSigned(),
    );
    try {
      expect(await fetched(`https://localhost:${secure.port}/image`)).toMatchObject({
        detail: expect.stringMatching(/its certificate/),
      });
    } finally {
      await secure.stop();
    }
  });
});
