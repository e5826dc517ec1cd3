import { describe, expect, it } from 'vitest';
import { checkImage } from './sniff-format.ts';

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const box = (...brands: string[]) =>
  latin1(
    `\0\0\0${String.fromCharCode(16 + 4 * (brands.length - 1))}ftyp${brands[0]}\0\0\0\0${brands.slice(1).join('')}`,
  );

describe('first bytes', () => {
  it.each<[string, Uint8Array]>([
    ['JPEG', latin1('\xff\xd8\xff\xe0')],
    ['PNG', latin1('\x89PNG\r\n\x1a\n')],
    ['GIF', latin1('GIF89a')],
    ['WebP', latin1('RIFF\0\0\0\0WEBPVP8 ')],
    ['AVIF', box('avif', 'mif1')],
    ['AVIF by a compatible brand', box('mif1', 'avif')],
  ])('of %s pass', (_name, bytes) => {
    expect(() => checkImage(bytes, 100)).not.toThrow();
  });

  it.each<[string, Uint8Array, string]>([
    ['nothing', latin1(''), 'no-image'],
    ['noise', latin1('abcdefghijkl'), 'invalid-image'],
    ['a WAV file', latin1('RIFF\0\0\0\0WAVE'), 'invalid-image'],
    ['half a signature', latin1('\x89PN'), 'invalid-image'],
    ['HEIC', box('heic', 'mif1'), 'unsupported-media-type'],
    ['a film', box('isom', 'mp42'), 'unsupported-media-type'],
    ['TIFF', latin1('MM\0*'), 'unsupported-media-type'],
    ['BMP', latin1('BM....'), 'unsupported-media-type'],
    ['SVG', latin1('\xef\xbb\xbf <?xml version="1.0"?>'), 'unsupported-media-type'],
    ['HTML', latin1('<!DOCTYPE html>'), 'unsupported-media-type'],
    ['JPEG XL', latin1('\xff\x0a'), 'unsupported-media-type'],
    ['too much', latin1('\xff\xd8\xff'.padEnd(101)), 'body-too-large'],
  ])('of %s do not', (_name, bytes, slug) => {
    expect(() => checkImage(bytes, 100)).toThrow(expect.objectContaining({ slug }));
  });
});
