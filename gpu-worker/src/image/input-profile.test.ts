/** Color profiles of JPEGs: honest ones reach the decoder as they are, and no program does. */
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { openImage } from './decode.ts';
import { decoderInputOf } from './decoder-input.ts';
import { withoutPrograms } from './input-profile.ts';

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

/** The file with a profile in sections of these numbers and contents in place of its own. */
function withSections(sections: [number: number, content: Uint8Array][]): Buffer {
  const head: Buffer[] = [jpeg.subarray(0, 2)];
  let at = 2;
  for (let end = at; jpeg[at + 1] !== 0xda; at = end) {
    end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (jpeg[at + 1] !== 0xe2) head.push(jpeg.subarray(at, end));
  }
  const own = sections.map(([number, content]) => {
    const start = Buffer.from(
      `\xff\xe2\0\0ICC_PROFILE\0${String.fromCharCode(number)}\x02`,
      'latin1',
    );
    start.writeUInt16BE(start.length - 2 + content.length, 2);
    return Buffer.concat([start, content]);
  });
  return Buffer.concat([...head, ...own, jpeg.subarray(at)]);
}

/** In sections from 1. */
const inSections = (profile: Buffer, most = 65_000) =>
  Array.from({ length: Math.ceil(profile.length / most) }, (_, i): [number, Buffer] => [
    i + 1,
    profile.subarray(i * most, (i + 1) * most),
  ]);

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

  it.each([
    ['section 0', [0]],
    ['a section behind a gap', [17, 200]],
    ['sections beyond those that are read', [101, 255]],
  ])('is what the decoder reads, whatever is in %s', async (_, numbers) => {
    const program = (await sharp(changed('cprt', 'D2B0')).metadata()).icc as Buffer;
    // What is checked in front of the real one, or behind it, is no program.
    const decoy = Buffer.from(program.subarray(0, 128 + 4)).fill(0, 128);
    for (const order of [0, 1]) {
      const others = numbers.map((number): [number, Buffer] => [number, decoy]);
      const file = withSections([...others.slice(order), ...inSections(program), ...others]);
      expect((await sharp(file).metadata()).icc).toEqual(program);
      expect(await profileOf(file)).toEqual(Buffer.from(withoutPrograms(program) as Uint8Array));
      expect(Buffer.from(decoderInputOf(file, 'jpeg').bytes).includes('D2B0')).toBe(false);
      expect(await pixelsOf(file)).toEqual(await pixelsOf(jpeg));
    }
  });

  it('is read by the numbers of its sections, and written anew from 1', async () => {
    const { icc } = await sharp(jpeg).metadata();
    const whole = icc as Buffer;
    const [first, ...rest] = inSections(whole);
    const [, content] = first as [number, Buffer];
    const numbersOf = (file: Buffer) => {
      const text = Buffer.from(decoderInputOf(file, 'jpeg').bytes).toString('latin1');
      return [...text.matchAll(/ICC_PROFILE\0(.)/gs)].map(([, number]) => number);
    };
    for (const sections of [
      [...rest, first],
      [[1, content.subarray(1)], ...rest, first],
      [first, [0, content], ...rest, [20, content]],
    ] as [number, Buffer][][]) {
      const file = withSections(sections);
      expect((await sharp(file).metadata()).icc).toEqual(whole);
      expect(await profileOf(file)).toEqual(whole);
      expect(numbersOf(file)).toEqual(numbersOf(withSections(inSections(whole, 65_519))));
    }
    expect(await profileOf(withSections([[0, content], ...rest]))).toBeUndefined();
  });
});
