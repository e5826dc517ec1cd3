import zlib from 'node:zlib';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';

const URL_ = 'https://images.example/a.png';
let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const send = () => edge.post('/v1/captions', { image: { url: URL_ } });
function typed(body: BodyInit, type?: string): Response {
  const response = new Response(body);
  response.headers.delete('content-type');
  if (type !== undefined) response.headers.set('content-type', type);
  return response;
}
const redirect = (location: string, status = 302) =>
  new Response(null, { status, headers: { location } });
const HTML = '<!doctype html><title>Sign in</title>';

describe('an image at a URL', () => {
  it.each([301, 302, 303, 307, 308])(
    'is fetched, also behind redirects with %i',
    async (status) => {
      const imageBytes = newImage();
      edge.gpu.web.set(URL_, () => redirect('/b.png', status));
      edge.gpu.web.set('https://images.example/b.png', () => redirect('http://other.example/c'));
      edge.gpu.web.set('http://other.example/c', () => typed(imageBytes, 'image/png'));
      expect((await send()).status).toBe(200);
      expect(edge.gpu.received[0]?.payload).toEqual(imageBytes);
    },
  );

  it.each([
    'application/octet-stream',
    'binary/octet-stream',
    'text/plain; charset=utf-8',
    'application/force-download',
    'image/pjpeg',
    'image/svg+xml',
    'text/html',
    'application/json',
    'nonsense',
    undefined,
  ])('is taken for what its bytes are, whatever its host calls it: %s', async (type) => {
    const imageBytes = newImage();
    edge.gpu.web.set(URL_, () => typed(imageBytes, type));
    expect((await send()).status).toBe(200);
    expect(edge.gpu.received[0]?.payload).toEqual(imageBytes);
  });

  it.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['deflate', zlib.deflateSync],
    ['zstd', zlib.zstdCompressSync],
    ['X-GZIP', zlib.gzipSync],
    ['gzip', zlib.gzipSync],
  ])('is inflated where its host sends it in %s unasked', async (coding, compress) => {
    const imageBytes = newImage();
    const reply = (body: Uint8Array) =>
      new Response(new Uint8Array(body), {
        headers: { 'content-encoding': coding },
        encodeBody: 'manual',
      } as ResponseInit);
    edge.gpu.web.set(URL_, () => reply(compress(imageBytes)));
    expect((await send()).status).toBe(200);
    expect(edge.gpu.received[0]?.payload).toEqual(imageBytes);
    edge.gpu.web.set(URL_, () => reply(compress(imageBytes).subarray(0, -2)));
    expect(await (await send()).json()).toMatchObject({
      detail: expect.stringMatching(/called its reply compressed, and it is not, or is damaged/),
    });
    edge.gpu.web.set(URL_, () => reply(compress(new Uint8Array(100_001))));
    expect(await (await send()).json()).toMatchObject({
      type: '/problems/body-too-large',
      field: 'image.url',
    });
  });

  it.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['deflate', zlib.deflateSync],
    ['zstd', zlib.zstdCompressSync],
    ['gzip', zlib.gzipSync],
  ])('that %s makes far larger is refused with that reason', async (coding, compress) => {
    edge = startEdge({ env: { MAX_IMAGE_BYTES: '20000000' } });
    const headers = { 'content-encoding': coding };
    const reply = (bytes: number) =>
      new Response(new Uint8Array(compress(new Uint8Array(bytes))), {
        headers,
        encodeBody: 'manual',
      } as ResponseInit);
    edge.gpu.web.set(URL_, () => reply(19_000_000));
    const problem = (await (await send()).json()) as Record<string, unknown>;
    expect(problem).toMatchObject({
      ...{ status: 413, type: '/problems/body-too-large', field: 'image.url' },
      detail: expect.stringMatching(/more than 50 times as large .* uncompressed, or send the b/),
    });
    expect(problem).not.toHaveProperty('limit');
  });

  it('in brotli is refused with that reason, unless it is not in it', async () => {
    const imageBytes = newImage();
    const reply = (body: Uint8Array) =>
      new Response(new Uint8Array(body), {
        headers: { 'content-encoding': 'br' },
        encodeBody: 'manual',
      } as ResponseInit);
    edge.gpu.web.set(URL_, () => reply(zlib.brotliCompressSync(imageBytes)));
    expect(await (await send()).json()).toMatchObject({
      ...{ status: 400, type: '/problems/image-url-failed', field: 'image.url' },
      detail: expect.stringMatching(/Content-Encoding: br.* uncompressed, or send the bytes/),
    });
    edge.gpu.web.set(URL_, () => reply(imageBytes));
    expect((await send()).status).toBe(200);
  });

  it('is asked for uncompressed, and what is compressed all the same is not inflated by the platform', async () => {
    const asked: RequestInit[] = [];
    edge = startEdge({
      platform: {
        fetch: async (url, init) => {
          if (String(url) === URL_) asked.push(init ?? {});
          return edge.gpu.fetch(url, init);
        },
      },
    });
    edge.gpu.web.set(URL_, () => typed(newImage()));
    expect((await send()).status).toBe(200);
    expect(asked).toMatchObject([{ encodeResponseBody: 'manual' }]);
    expect(new Headers(asked[0]?.headers).get('accept-encoding')).toBe('identity');
  });

  it('waits for its turn before it is inflated, and before megabytes are hashed', async () => {
    edge = startEdge({ env: { MAX_IMAGE_BYTES: '20000000' } });
    const costs: number[] = [];
    const turn = vi.spyOn(dearWork, 'turn').mockImplementation(async (_, ms) => {
      costs.push(ms);
    });
    try {
      const imageBytes = newImage(6_000_000);
      crypto.getRandomValues(imageBytes.subarray(64, 65_600));
      crypto.getRandomValues(imageBytes.subarray(65_600, 131_136));
      const sent = new Uint8Array(zlib.gzipSync(imageBytes));
      edge.gpu.web.set(
        URL_,
        () =>
          new Response(sent, {
            headers: { 'content-encoding': 'gzip' },
            encodeBody: 'manual',
          } as ResponseInit),
      );
      expect((await send()).status).toBe(200);
      expect(costs.filter(isDear)).toHaveLength(2);
      edge.gpu.web.set(URL_, () => typed(newImage(6_000_000)));
      expect((await send()).status).toBe(200);
      expect(costs.filter(isDear)).toHaveLength(3);
    } finally {
      turn.mockRestore();
    }
  });

  it('is asked for by a client that says who it is and takes anything', async () => {
    const headers: Headers[] = [];
    edge = startEdge({
      env: { IMAGE_USER_AGENT: 'our-edge/1 (mailto:us@example.org)' },
      platform: {
        fetch: async (url, init) => {
          if (String(url) === URL_) headers.push(new Headers(init?.headers));
          return edge.gpu.fetch(url, init);
        },
      },
    });
    edge.gpu.web.set(URL_, () => typed(newImage()));
    await send();
    expect(headers[0]?.get('user-agent')).toBe('our-edge/1 (mailto:us@example.org)');
    expect(headers[0]?.get('accept')).toMatch(/^image\/avif,.*,\*\/\*;q=0\.\d$/);
  });
});

describe('a URL that leads to no image is refused', () => {
  it.each<[string, () => Response, string, RegExp]>([
    ['to the local network', () => redirect('http://127.0.0.1/'), 'image-url-refused', /redirects/],
    ['to a file', () => redirect('file:///etc/passwd'), 'image-url-refused', /neither http/],
    ['nowhere', () => redirect('http://[bad'), 'image-url-refused', /redirects is not valid/],
    ['in a circle', () => redirect(URL_), 'image-url-failed', /in a circle/],
    ['without saying where', () => redirect('', 304), 'image-url-failed', /304/],
    [
      'to a page',
      () => typed(HTML, 'text/html'),
      'image-url-failed',
      /200 as text\/html.*HTML page/,
    ],
    [
      'to a page that is called an image',
      () => typed(HTML, 'image/jpeg'),
      'image-url-failed',
      /200 as image\/jpeg.*HTML page/,
    ],
    [
      'to an error of an object store',
      () =>
        typed('<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>', 'application/xml'),
      'image-url-failed',
      /XML error document.* S3/,
    ],
    ['to JSON', () => typed('{"error":"no"}'), 'image-url-failed', /without a content-type.*JSON/],
    ['to a text', () => typed('no such thing', 'text/plain'), 'image-url-failed', /a text/],
    ['to base64', () => typed(base64(newImage())), 'image-url-failed', /base64.*image itself/],
    ['to a PDF', () => typed('%PDF-1.7\n'), 'image-url-failed', /a PDF document/],
    ['to a film', () => typed('\0\0\0\x18ftypmp42'), 'image-url-failed', /a film \(MP4/],
    ['to noise', () => typed(new Uint8Array(99), 'image/png'), 'image-url-failed', /no image does/],
    ['to nothing', () => typed('', 'image/png'), 'image-url-failed', /status 200 and no bytes/],
    [
      'to a HEIC',
      () => typed('\0\0\0\x18ftypheic'),
      'unsupported-media-type',
      /HEIC.*heif-convert/,
    ],
    ['to an SVG', () => typed('<svg/>', 'image/svg+xml'), 'unsupported-media-type', /SVG/],
    ['to too much', () => typed(newImage(100_001)), 'body-too-large', /at the URL/],
    [
      'to what is announced as too much',
      () => new Response(newImage(), { headers: { 'content-length': '100001' } }),
      'body-too-large',
      /100001 bytes/,
    ],
  ])('%s', async (_name, reply, slug, detail) => {
    edge.gpu.web.set(URL_, reply);
    expect(await (await send()).json()).toMatchObject({
      type: `/problems/${slug}`,
      detail: expect.stringMatching(detail),
      field: 'image.url',
    });
    expect(edge.gpu.received).toEqual([]);
  });

  it('that redirects too often', async () => {
    let hop = 0;
    const again = () => {
      const next = `https://images.example/${++hop}`;
      edge.gpu.web.set(next, again);
      return redirect(next);
    };
    edge.gpu.web.set(URL_, again);
    expect(await (await send()).json()).toMatchObject({
      detail: expect.stringMatching(/more than/),
    });
  });

  it.each<[number, RegExp]>([
    [401, /sign-in/],
    [403, /refuses access.*expired/],
    [404, /nothing is there/],
    [410, /gone/],
    [418, /refuses the request/],
    [429, /how often/],
    [500, /has a fault/],
    [503, /has a fault/],
    [521, /refuses connections/],
    [525, /secure connection/],
    [530, /does not resolve/],
    [300, /sends no image/],
  ])('with status %i', async (status, meaning) => {
    edge.gpu.web.set(URL_, () => new Response('no', { status }));
    const problem = await (await send()).json();
    expect(problem).toMatchObject({
      type: '/problems/image-url-failed',
      detail: expect.stringMatching(new RegExp(`status ${status}: .*${meaning.source}`)),
    });
  });

  it.each<[string, () => Response | Promise<Response>, RegExp]>([
    [
      'refuses the connection',
      () => Promise.reject(new Error('Network connection lost.')),
      /refused the connection, or closed it/,
    ],
    ['fails in another way', () => Promise.reject(new TypeError('x')), /could not be reached/],
    [
      'breaks off',
      () => new Response(new ReadableStream({ pull: (c) => c.error(new Error('lost')) })),
      /ended before the image was complete/,
    ],
  ])('whose host %s', async (_how, reply, detail) => {
    edge.gpu.web.set(URL_, reply);
    expect(await (await send()).json()).toMatchObject({
      type: '/problems/image-url-failed',
      detail: expect.stringMatching(detail),
    });
  });

  it.each<[string, string | null, RegExp]>([
    ['name does not resolve', 'internal error', /images\.example, does not resolve/],
    ['certificate is wrong, and port speaks TLS', 'Network connection lost.', /certificate/],
    ['certificate is wrong, and port answers', null, /certificate/],
  ])('whose host’s %s', async (_how, probed, detail) => {
    edge.gpu.web.set(URL_, () => Promise.reject(new Error('internal error; reference = abc')));
    edge.gpu.web.set('http://images.example:443/', () =>
      probed === null ? new Response('TLS, please') : Promise.reject(new Error(probed)),
    );
    expect(await (await send()).json()).toMatchObject({ detail: expect.stringMatching(detail) });
  });
});

describe('a network that is bound', () => {
  const over = (reply: () => Response) => {
    const asked: string[] = [];
    const fetch = async (url: URL) => {
      asked.push(url.href);
      return reply();
    };
    edge = startEdge({ env: { IMAGE_NETWORK: { fetch } as unknown as Fetcher } });
    return asked;
  };

  it.each<[string, RegExp]>([
    ['lost', /refused the connection, or closed it/],
    ['no-address', /images\.example, does not resolve/],
    ['insecure', /its certificate/],
  ])(
    'is believed, without a second request, where it says that a host is %s',
    async (reason, detail) => {
      const headers = { 'blip2-host-failure': reason };
      const asked = over(() => new Response('no reply', { status: 502, headers }));
      expect(await (await send()).json()).toMatchObject({
        ...{ status: 400, type: '/problems/image-url-failed', field: 'image.url' },
        detail: expect.stringMatching(detail),
      });
      expect(asked).toEqual([URL_]);
    },
  );

  it('hands on what a host replies', async () => {
    over(() => new Response('no', { status: 502 }));
    expect(await (await send()).json()).toMatchObject({
      detail: expect.stringMatching(/status 502: it has a fault/),
    });
    const asked = over(() => typed(newImage()));
    expect((await send()).status).toBe(200);
    expect(asked).toEqual([URL_]);
  });
});
