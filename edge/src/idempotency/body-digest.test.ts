import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PARTS } from '../http/multipart.ts';
import { BodyDigest } from './body-digest.ts';

const typeOf = (boundary: string) => `multipart/form-data; boundary=${boundary}`;
const bytesOf = (text: string) => new TextEncoder().encode(text);

function digestOfChunks(contentType: string, chunks: Iterable<Uint8Array>): string {
  const digest = new BodyDigest(contentType);
  for (const chunk of chunks) digest.update(chunk);
  return digest.end();
}
const digestOfText = (contentType: string, text: string) =>
  digestOfChunks(contentType, [bytesOf(text)]);

/** How often the hash is updated for a body that comes in chunks of 64 KiB. */
function updatesFor(boundary: string, body: Uint8Array): number {
  let updates = 0;
  const hash = createHash('sha256');
  const counting = {
    update(...[data]: Parameters<typeof hash.update>) {
      updates++;
      hash.update(data);
      return counting;
    },
    digest: hash.digest.bind(hash),
  };
  const digest = new BodyDigest(typeOf(boundary), counting as unknown as typeof hash);
  for (let at = 0; at < body.length; at += 65_536) digest.update(body.subarray(at, at + 65_536));
  digest.end();
  return updates;
}

const form = (boundary: string, value = 'a dog', end = '\r\n') =>
  [
    `--${boundary}`,
    'Content-Disposition: form-data; name="prompt"',
    '',
    value,
    `--${boundary}--`,
    '',
  ].join(end);

describe('the digest of a body', () => {
  it.each([
    ['A', 'A'],
    ['A', '\n--A'],
    ['A', '\r\n--A\r\n'],
    ['-', '-'],
    ['-', '\n---'],
    ['x'.repeat(200), `\n--${'x'.repeat(200)}`],
    [`${'x'.repeat(199)}y`, `\n--${'x'.repeat(199)}`],
  ])('with the boundary %s costs no more where a body is all %j', (boundary, repeated) => {
    const body = new Uint8Array(Buffer.alloc(8 * 2 ** 20, repeated));
    const chunks = body.length / 65_536;
    expect(updatesFor(boundary, body)).toBeLessThan(chunks + 2 * (MAX_PARTS + 1) + 2);
  });

  it('is the same whatever the boundary, and wherever the body is cut into chunks', () => {
    const boundary = fc.stringMatching(/^[A-Z]{1,8}$/);
    const cuts = fc.array(fc.nat(200), { maxLength: 6 });
    fc.assert(
      fc.property(boundary, cuts, fc.constantFrom('\r\n', '\n'), (drawn, places, end) => {
        const body = bytesOf(form(drawn, 'a dog', end));
        const edges = [0, ...places.sort((a, b) => a - b), body.length];
        const chunks = edges.slice(1).map((to, i) => body.subarray(edges[i], to));
        const expected = digestOfText(typeOf('other'), form('other', 'a dog', end));
        expect(digestOfChunks(typeOf(drawn), chunks)).toBe(expected);
      }),
    );
  });

  it('differs where a form does, also in a boundary that is none', () => {
    const digests = [
      digestOfText(typeOf('A'), form('A')),
      digestOfText(typeOf('A'), form('A', 'a cat')),
      digestOfText(typeOf('A'), form('A', 'A dog')),
      digestOfText(typeOf('B'), form('A')),
      digestOfText(typeOf('A'), form('A', 'what --A is')),
      digestOfText(typeOf('B'), form('B', 'what --B is')),
      digestOfText('text/plain', form('A')),
      digestOfText('text/plain', form('B')),
    ];
    expect(new Set(digests).size).toBe(digests.length);
  });
});
