import { beforeEach, describe, expect, it } from 'vitest';
import { newImage, startEdge, type TestEdge } from '../testing/edge.ts';

const URL_ = 'https://images.example/a.png';
let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const send = () => edge.post('/v1/captions', { image: { url: URL_ } });
const png = (bytes: Uint8Array<ArrayBuffer>, type = 'image/png') =>
  new Response(bytes, { headers: { 'content-type': type } });
const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });

describe('an image at a URL', () => {
  it('is fetched, also behind redirects', async () => {
    const imageBytes = newImage();
    edge.gpu.web.set(URL_, () => redirect('/b.png'));
    edge.gpu.web.set('https://images.example/b.png', () => redirect('http://other.example/c'));
    edge.gpu.web.set('http://other.example/c', () => png(imageBytes));
    expect((await send()).status).toBe(200);
    expect(edge.gpu.received[0]?.payload).toEqual(imageBytes);
  });

  it.each<[string, () => Response, string]>([
    ['redirects into the local network', () => redirect('http://127.0.0.1/'), 'image-url-refused'],
    ['redirects to a file', () => redirect('file:///etc/passwd'), 'image-url-refused'],
    ['redirects in a circle', () => redirect(URL_), 'image-url-failed'],
    ['is not there', () => new Response('no', { status: 404 }), 'image-url-failed'],
    ['is a page', () => png(newImage(), 'text/html'), 'image-url-failed'],
    ['is too large', () => png(newImage(100_001)), 'body-too-large'],
    ['is noise', () => png(new Uint8Array(99)), 'invalid-image'],
    ['cannot be reached', () => Promise.reject(new TypeError('x')) as never, 'image-url-failed'],
  ])('that %s is refused', async (_name, reply, slug) => {
    edge.gpu.web.set(URL_, reply);
    const response = await send();
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}` });
    expect(edge.gpu.received).toEqual([]);
  });
});
