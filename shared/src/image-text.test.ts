import { describe, expect, it } from 'vitest';
import { beginsAsImage, isBase64Image } from './image-text.ts';

const base64 = (head: readonly number[], length = 64) =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => head[i] ?? (i * 37) % 256)).toString('base64');

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG = [0xff, 0xd8, 0xff, 0xe0];
const TIFF = [0x49, 0x49, 0x2a, 0x00];

describe('a text begins as an image', () => {
  it.each([
    ['base64 of PNG', base64(PNG)],
    ['of JPEG', base64(JPEG)],
    ['of what is not decoded', base64(TIFF)],
    ['in the alphabet of URLs', base64(JPEG).replaceAll('+', '-').replaceAll('/', '_')],
    ['behind white space', `\n  ${base64(PNG)}`],
    ['in lines', base64(PNG, 300).replaceAll(/.{64}/g, '$&\n')],
    ['a data: URL', 'data:image/png;base64,AAAA'],
    ['one in other spellings', ' DATA:image/svg+xml; charset=utf-8 ; BASE64,AAAA'],
    ['one without a type', 'data:;base64,AAAA'],
  ])('%s', (_how, text) => {
    expect(beginsAsImage(text)).toBe(true);
  });

  it.each([
    ['words', 'a dog, and a cat on a red mat beside a pizza and an octopus'],
    ['words behind a colon', 'Data: a dog, a cat'],
    ['base64 of something else', base64([1, 2, 3])],
    ['too little of one', base64(PNG, 20)],
    [
      'words behind its first bytes',
      `${base64(PNG).slice(0, 12)} is how it begins ${'x'.repeat(60)}`,
    ],
    ['an address', 'https://a.example/a,b.png'],
    ['nothing', ''],
  ])('not %s', (_what, text) => {
    expect(beginsAsImage(text)).toBe(false);
  });

  it('as base64, which an address is not', () => {
    expect(isBase64Image(base64(PNG))).toBe(true);
    expect(isBase64Image('data:image/png;base64,AAAA')).toBe(false);
  });
});
