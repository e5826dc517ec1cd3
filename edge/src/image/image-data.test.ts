import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeImageData } from './image-data.ts';
import { sourceFromText } from './image-source.ts';

const bytes = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0xfb, 0xff, 0x3e, 0x00);
const base64 = bytes.toBase64();
const base64url = bytes.toBase64({ alphabet: 'base64url' });

describe('bytes are read from', () => {
  it.each([
    ['base64', base64],
    ['base64 without padding', base64.replaceAll('=', '')],
    ['base64 in lines', `${base64.slice(0, 4)}\r\n${base64.slice(4)}\n`],
    ['base64 with spaces around', ` \n${base64}\t`],
    ['base64 for URLs', base64url],
    ['base64 for URLs without padding', base64url.replaceAll('=', '')],
    ['percent-encoded base64', encodeURIComponent(base64)],
    ['a data: URL', `data:image/png;base64,${base64}`],
    ['a data: URL in capitals', `DATA:IMAGE/PNG;BASE64,${base64}`],
    ['a data: URL with spaces', ` data:image/png; charset=x; base64 , ${base64}`],
    ['a data: URL without a type', `data:;base64,${base64}`],
    ['a data: URL with base64 for URLs', `data:image/png;base64,${base64url}`],
    ['a percent-encoded data: URL', `data:image/png;base64,${encodeURIComponent(base64)}`],
    ['a data: URL without base64', 'data:image/png,%89PNG%fb%FF>%00'],
  ])('%s', (_form, text) => {
    expect(decodeImageData(text, 'image.data')).toEqual(bytes);
    expect(sourceFromText(text, 'image')).toEqual({ kind: 'bytes', bytes });
  });

  it('every spelling of any bytes', () => {
    const spell = fc.constantFrom<(text: string) => string>(
      (text) => text,
      (text) => text.replaceAll('=', ''),
      (text) => text.replaceAll('+', '-').replaceAll('/', '_'),
      (text) => encodeURIComponent(text),
      (text) => text.replace(/(.{5})/g, '$1\r\n '),
      (text) => `data:x; base64,${text}`,
    );
    fc.assert(
      fc.property(fc.uint8Array(), spell, (any, form) => {
        const text = form(new Uint8Array(any).toBase64());
        expect(decodeImageData(text, 'image.data')).toEqual(new Uint8Array(any));
      }),
    );
  });

  it('percent-encoded bytes of a data: URL', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (any) => {
        const encoded = [...any].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
        expect(decodeImageData(`data:,${encoded}`, 'image.data')).toEqual(new Uint8Array(any));
      }),
    );
  });
});

it.each([
  ['an URL', ' https://example.com/a.png ', { kind: 'url', url: 'https://example.com/a.png' }],
  ['another scheme', 'S3://bucket/a.png', { kind: 'url', url: 'S3://bucket/a.png' }],
  ['a hash', 'A'.repeat(64), { kind: 'sha256', sha256: 'a'.repeat(64) }],
])('a text may be %s', (_what, text, source) => {
  expect(sourceFromText(text, 'image')).toEqual(source);
});

it.each([
  ['b"aGk="', /character 2 is "\\""/],
  ['aGk=🐕', /character 5 is "🐕"/],
  ['a', /cut off/],
  ['aG=k', /padding within/],
  ['data:image/png;base64', /has a comma/],
])('%s is refused, and why is said', (text, detail) => {
  expect(() => decodeImageData(text, 'image.data')).toThrow(detail);
});
