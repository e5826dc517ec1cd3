import { describe, expect, it } from 'vitest';
import { checkImage, sniff } from './image-format.ts';

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const utf8 = (text: string) => new TextEncoder().encode(text);
const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
/** The first box of a file of ISO base media. */
const box = (...brands: string[]) =>
  latin1(
    `\0\0\0${String.fromCharCode(16 + 4 * (brands.length - 1))}ftyp${brands[0]}\0\0\0\0${brands.slice(1).join('')}`,
  );
const JPEG = latin1('\xff\xd8\xff\xe0\0\x10JFIF\0');
const PNG = latin1('\x89PNG\r\n\x1a\n\0\0\0\rIHDR');

describe('an image that is decoded', () => {
  it.each<[string, Uint8Array]>([
    ['jpeg', JPEG],
    ['png', PNG],
    ['gif', latin1('GIF87a')],
    ['gif', latin1('GIF89a')],
    ['webp', latin1('RIFF\0\0\0\0WEBPVP8 ')],
    ['avif', box('avif', 'mif1')],
    ['avif', box('avis', 'msf1', 'iso8')],
    ['avif', box('mif1', 'avif')],
    // The compression stands further inside.
    ['avif', box('mif1', 'miaf')],
  ])('is known by its first bytes: %s', (format, bytes) => {
    expect(checkImage(bytes, { maxBytes: 100 })).toBe(format);
  });
});

describe('another image is named, with how to convert it', () => {
  it.each<[string, Uint8Array, string]>([
    ['HEIC', box('heic', 'mif1'), 'heif-convert'],
    ['HEIC', box('mif1', 'heic'), 'Most Compatible'],
    ['HEIC', box('msf1', 'hevc'), 'sips'],
    ['HEIC', latin1(`${String.fromCharCode(...box('mif1', 'miaf'))}…meta…infe…hvc1`), 'sips'],
    ['raw photo', box('crx ', 'isom'), 'Export'],
    ['raw photo', latin1('II*\0\x10\0\0\0CR\x02\0'), 'Export'],
    ['TIFF', latin1('MM\0*\0\0\0\x08'), 'magick'],
    ['TIFF', latin1('II+\0\x08\0\0\0'), 'magick'],
    ['BMP', latin1('BM\x36\x24\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0'), 'magick'],
    ['ICO', latin1('\0\0\x01\0\x01\0\x10\x10'), 'magick'],
    ['JPEG XL', latin1('\xff\x0a\xfa\x1f'), 'djxl'],
    ['JPEG XL', latin1('\0\0\0\x0cJXL \r\n\x87\n'), 'djxl'],
    ['JPEG 2000', latin1('\0\0\0\x0cjP  \r\n\x87\n'), 'magick'],
    ['Photoshop', latin1('8BPS\0\x01'), 'magick'],
    ['PNM', latin1('P6\n48 32\n255\n'), 'magick'],
    ['PNM', latin1('P7\nWIDTH 1\n'), 'magick'],
    ['PNM', latin1('Pf\n1 1\n-1.0\n'), 'magick'],
    ['CgBI', latin1('\x89PNG\r\n\x1a\n\0\0\0\x04CgBI\x50\0\x20\x02'), 'pngcrush'],
    ['JPEG-LS', latin1('\xff\xd8\xff\xf7\0\x0b\x08'), 'magick'],
    ['HEIF', box('avci', 'mif1'), 'magick'],
    ['HEIF', box('mif1', 'j2ki'), 'magick'],
    ['TGA', latin1('\0\0\x02\0\0\0\0\0\0\0\0\0\x25\0\x17\0\x18\0'), 'magick'],
    ['TGA', latin1('\x1a\0\x0a\0\0\0\0\0\0\0\0\0\x25\0\x17\0\x18\0'), 'magick'],
    ['CUR', latin1('\0\0\x02\0\x01\0\x20\x20\0\0\x01\0'), 'magick'],
    ['PCX', latin1('\x0a\x05\x01\x08\0\0'), 'magick'],
    ['MNG', latin1('\x8aMNG\r\n\x1a\n'), 'magick'],
    ['SVG', latin1('\xef\xbb\xbf <?xml version="1.0"?>\n<!-- drawn by hand -->\n<svg>'), 'rsvg'],
    ['SVG', utf8('<svg/>'), 'rsvg'],
    [
      'SVG',
      utf8('<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">\n<svg:svg>'),
      'rsvg',
    ],
    ['SVG', utf8(`${'<!-- a -->\n'.repeat(80)}<svg >`), 'rsvg'],
  ])('%s', (name, bytes, remedy) => {
    const run = () => checkImage(bytes, { maxBytes: 1000, field: 'image' });
    expect(run).toThrow(
      expect.objectContaining({ slug: 'unsupported-media-type', extras: { field: 'image' } }),
    );
    expect(run).toThrow(
      new RegExp(`^This is an? .*${name}.*, which is not decoded here\\. .*${remedy}`),
    );
  });
});

describe('what is no image is named', () => {
  it.each<[string, Uint8Array]>([
    ['a PDF document', latin1('%PDF-1.7')],
    ['a film (MP4 or QuickTime)', box('isom', 'mp42')],
    ['a film (MP4 or QuickTime)', box('qt  ')],
    ['a film (Matroska or WebM)', latin1('\x1a\x45\xdf\xa3')],
    ['a sound (WAV)', latin1('RIFF\0\0\0\0WAVEfmt ')],
    ['a ZIP archive or an office document', latin1('PK\x03\x04')],
    ['a gzip archive', latin1('\x1f\x8b\x08')],
    ['an HTML page', utf8('<!DOCTYPE html><html>')],
    ['an HTML page', utf8('\n  <!-- made by a tool -->\n<HTML lang="en">')],
    [
      'an XML error document, as object stores such as S3 send it',
      utf8('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'),
    ],
    ['an XML document', utf8('<?xml version="1.0"?><feed>')],
    ['a JSON document', utf8('{ "image": { "url": "https://a.example/b" } }')],
    ['a JSON document', utf8('[{"a":1}]')],
    ['an address', utf8('https://a.example/b.png\n')],
    ['a multipart form', utf8('--x\r\nContent-Disposition: form-data; name="image"\r\n')],
    ['a pointer of Git LFS', utf8('version https://git-lfs.github.com/spec/v1\noid sha256:')],
    ['an image written as base64', utf8(base64(JPEG))],
    ['an image written as base64', utf8(base64(PNG))],
    ['an image written as base64', utf8(base64(box('avif', 'mif1', 'miaf')))],
    ['an image written as base64', utf8('data:image/png;base64,iVBORw0KGgo')],
    ['a JPEG image that was ruined as text', utf8(new TextDecoder().decode(JPEG))],
    ['a PNG image that was ruined as text', utf8(new TextDecoder().decode(PNG))],
    ['a JPEG image that was ruined as text', utf8(String.fromCharCode(...JPEG))],
    ['a PNG image that was ruined as text', utf8(String.fromCharCode(...PNG))],
    ['a PNG image that was ruined as text', latin1('\x89PNG\n\x1a\n\0\0\0\n')],
    ['an image behind 1 byte of something else', latin1('\n\xff\xd8\xff\xe0\0')],
    ['an image behind 3 bytes of something else', latin1('\xef\xbb\xbf\x89PNG\r\n\x1a\n')],
  ])('%s', (name, bytes) => {
    const sniffed = sniff(bytes);
    expect(sniffed).toHaveProperty('name', expect.stringContaining(name));
    expect(() => checkImage(bytes, { maxBytes: 1000 })).toThrow(
      expect.objectContaining({ slug: 'unsupported-media-type' }),
    );
  });
});

describe('what is nothing that is known is refused', () => {
  it.each<[string, Uint8Array, string]>([
    ['nothing', latin1(''), 'no-image'],
    ['noise', latin1('\x07'.repeat(50)), 'invalid-image'],
    ['a text', utf8('not found'), 'invalid-image'],
    ['comments before no tag', utf8('<!---->'.repeat(140)), 'invalid-image'],
    ['comments that are not closed', utf8('<!--'.repeat(250)), 'invalid-image'],
    ['half a signature', latin1('\x89PN'), 'invalid-image'],
    ['too much', latin1('\xff\xd8\xff'.padEnd(1001)), 'body-too-large'],
  ])('%s', (_name, bytes, slug) => {
    expect(() => checkImage(bytes, { maxBytes: 1000 })).toThrow(expect.objectContaining({ slug }));
  });
});
