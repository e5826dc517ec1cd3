/** Color profiles of JPEGs: honest ones reach the decoder as they are, and no program does. */
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { openImage } from './decode.ts';
import { decoderInputOf } from './decoder-input.ts';

const LIMITS = { maxBytes: 2e7, maxPixels: 1e6 };
let jpeg: Buffer;
beforeAll(async () => {
  const create = { width: 16, height: 16, channels: 3, background: '#a87850' } as const;
  const image = sharp({ create }).toColourspace('cmyk').withIccProfile('cmyk');
  jpeg = await image.jpeg().toBuffer();
});

/** The file with other text. */
function changed(text: string, by: string, place = jpeg.indexOf(text)): Buffer {
  expect(place).toBeGreaterThan(0);
  const file = Buffer.from(jpeg);
  file.write(by, place, 'latin1');
  return file;
}

const profileOf = async (file: Buffer) =>
  (await sharp(decoderInputOf(file, 'jpeg').bytes).metadata()).icc;
const pixelsOf = async (file: Buffer) => {
  const { pixels } = await openImage(file, LIMITS);
  return await pixels.raw().toBuffer();
};

describe('the profile of a CMYK JPEG', () => {
  it('of tables is as it was', async () => {
    const { icc, space } = await sharp(jpeg).metadata();
    expect(space).toBe('cmyk');
    expect(icc?.length).toBeGreaterThan(1000);
    expect(await profileOf(jpeg)).toEqual(icc);
    expect(Buffer.from(decoderInputOf(jpeg, 'jpeg').bytes).includes('A2B0')).toBe(true);
  });

  it.each(['D2B0', 'D2B3', 'B2D1'])(
    'has no program as %s, and its colors by tables',
    async (name) => {
      // In the place of a copyright, which is no color.
      const file = changed('cprt', name);
      const icc = await profileOf(file);
      expect(icc?.includes(name)).toBe(false);
      expect(icc?.includes(`x${name.slice(1)}`)).toBe(true);
      expect(await pixelsOf(file)).toEqual(await pixelsOf(jpeg));
    },
  );

  it('that links devices, or whose tables are programs, is none', async () => {
    expect(await profileOf(changed('prtr', 'link'))).toBeUndefined();
    const types = /mft1|mft2|mAB |mBA /.exec(jpeg.toString('latin1'));
    const file = changed('', 'mpet', types?.index);
    expect(await profileOf(file)).toBeUndefined();
    await pixelsOf(file);
  });
});
