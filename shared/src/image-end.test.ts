import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endOf, expectWhole, ImageEnd } from './image-end.ts';

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const chunk = (type: string, data: string) => {
  const length = String.fromCharCode(0, 0, data.length >> 8, data.length & 255);
  return `${length}${type}${data}CRC.`;
};
const riff = (type: string, data: string) =>
  `${type}${String.fromCharCode(data.length & 255, data.length >> 8, 0, 0)}${data}`;
const webp = (chunks: string) => riff('RIFF', `WEBP${chunks}`);
const ofBlocks = (...blocks: string[]) =>
  `${blocks.map((block) => String.fromCharCode(block.length) + block).join('')}\0`;

const PNG = `\x89PNG\r\n\x1a\n${chunk('IHDR', '0'.repeat(13))}${chunk('tEXt', 'IDAT')}${chunk('IDAT', 'pixels')}${chunk('IDAT', 'more')}`;
const PNG_END = `${chunk('tIME', 'seven..')}${chunk('IEND', '')}`;
const JPEG = `\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9..\xff\xff\xff\xc0\0\x04..\xff\xda\0\x04..pixels\xff\0\xff\xd0pixels`;
const FRAME = `,${'0'.repeat(8)}\x80${'T'.repeat(6)}\x02${ofBlocks('pixels', 'more')}`;
const GIF = `GIF89a0000\x80..${'T'.repeat(6)}!\xf9${ofBlocks('1234')}${FRAME}`;
const ANMF = riff('ANMF', 'frame.');

/** By format: what must be there, and what may be missing behind it. */
const FILES: [string, string, string][] = [
  ['a PNG', PNG, PNG_END],
  ['a JPEG', `${JPEG}\xff\xd9`, 'another image'],
  ['a progressive JPEG', `${JPEG}\xff\xda\0\x04..\xff\xd9`, ''],
  ['a GIF', GIF, ';'],
  ['an animated GIF', GIF, `!\xf9${ofBlocks('1234')}${FRAME};`],
  ['a WebP', webp(riff('VP8 ', 'pixels')), 'more'],
  ['a WebP with an odd chunk', webp(`${riff('ICCP', 'odd')}\0${riff('VP8L', 'pixels')}`), ''],
];

describe.each(FILES)('%s', (_, needed, more) => {
  it('is cut off within what it needs, and nowhere behind it', () => {
    const whole = bytesOf(needed + more);
    for (let length = 0; length < whole.length; length++) {
      const { isCutOff } = endOf(whole.subarray(0, length));
      // Chunks of a PNG's pixels may be any number.
      const mayBeMore = more === PNG_END && length >= needed.length - 16 && length < needed.length;
      if (!mayBeMore) expect(isCutOff, `${length}`).toBe(length < needed.length);
    }
    expect(endOf(whole).isCutOff).toBe(false);
  });

  it('is seen in whatever pieces it comes', () => {
    const whole = bytesOf(needed + more);
    const cuts = fc.array(fc.nat(whole.length), { maxLength: 20 });
    fc.assert(
      fc.property(fc.nat(whole.length), cuts, (length, at) => {
        const end = new ImageEnd();
        const places = [0, ...at.map((place) => Math.min(place, length)).sort((a, b) => a - b)];
        places.forEach((from, i) => {
          end.update(whole.subarray(from, places[i + 1] ?? length));
        });
        expect(end.isCutOff).toBe(endOf(whole.subarray(0, length)).isCutOff);
      }),
    );
  });
});

it('an animated WebP is whole with two frames, of which the first is decoded', () => {
  const file = bytesOf(webp(`${riff('VP8X', '0123456789')}${ANMF}${ANMF}${ANMF}`));
  expect(endOf(file.subarray(0, -ANMF.length)).isCutOff).toBe(false);
  expect(endOf(file.subarray(0, -1 - ANMF.length)).isCutOff).toBe(true);
});

it('what else there is, and files of more parts than any has, are left to the decoder', () => {
  expect(endOf(bytesOf('\0\0\0\x20ftypavif')).isCutOff).toBe(false);
  expect(endOf(bytesOf('{"custom_id":"1"}')).isCutOff).toBe(false);
  expect(endOf(bytesOf(`${GIF.slice(0, 19)}?`)).isCutOff).toBe(false);
  const many = new Uint8Array(3_000_000).fill(1);
  many.set(bytesOf(GIF.slice(0, GIF.indexOf(',') + 17)));
  expect(endOf(many).isCutOff).toBe(false);
});

it('is an error that names the field', () => {
  expect(() => expectWhole({ isCutOff: true }, 'file')).toThrow(
    expect.objectContaining({ slug: 'invalid-image', extras: { field: 'file' } }),
  );
  expectWhole({ isCutOff: false }, 'file');
});
