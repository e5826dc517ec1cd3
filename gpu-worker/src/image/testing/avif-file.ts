/** For tests: AVIF files from boxes, as no program writes them. */
import sharp from 'sharp';

const number = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);

/** Size, type and content. */
export function box(type: string, ...content: (Uint8Array | number[])[]): Buffer {
  const joined = Buffer.concat(content.map((each) => Buffer.from(each)));
  return Buffer.concat([Buffer.from(number(8 + joined.length, 4)), Buffer.from(type), joined]);
}

/** An item: its number is its place in the list, from 1. */
export type AvifItem = { type: string; data: Uint8Array; properties: Buffer[] };
/** Of which kind, from which item, and to which. */
export type AvifReference = [type: string, from: number, to: number[]];

export const size = (width: number, height = width) =>
  box('ispe', [0, 0, 0, 0], number(width, 4), number(height, 4));
export const channels = box('pixi', [0, 0, 0, 0, 3, 8, 8, 8]);
export const quarterTurn = box('irot', [1]);
/** The middle of an image. */
export const cutTo = (side: number) =>
  box('clap', ...[side, 1, side, 1, 0, 1, 0, 1].map((each) => number(each, 4)));
export const isAlpha = box(
  'auxC',
  [0, 0, 0, 0],
  Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0'),
);

/** A square of one color, of some hundred bytes. */
export async function square(side: number): Promise<AvifItem> {
  const canvas = { width: side, height: side, channels: 3, background: '#123456' } as const;
  const avif = await sharp({ create: canvas })
    .avif({ effort: 0, chromaSubsampling: '4:2:0' })
    .toBuffer();
  const boxAt = (type: string) => {
    const at = avif.indexOf(type) - 4;
    return avif.subarray(at, at + avif.readUInt32BE(at));
  };
  const properties = [boxAt('av1C'), size(side), channels];
  return { type: 'av01', data: boxAt('mdat').subarray(8), properties };
}

/** A grid of so many rows and columns; its parts are what it refers to. */
export function gridItem(rows: number, columns: number, side: number): AvifItem {
  const data = Buffer.from([0, 0, rows - 1, columns - 1, ...number(side, 2), ...number(side, 2)]);
  return { type: 'grid', data, properties: [size(side), channels] };
}

/** A table by which the first item has its first property again, so many times. */
export function moreProperties(times: number): Buffer {
  const rows: number[][] = [];
  for (let left = times; left > 0; left -= 255) {
    const count = Math.min(left, 255);
    rows.push([0, 1, count, ...Array<number>(count).fill(1)]);
  }
  return box('ipma', [0, 0, 0, 0], number(rows.length, 4), ...rows);
}

/**
 * The image is the first item.
 * @param tables further ones of which item has which properties
 */
export function avifOf(
  items: AvifItem[],
  references: AvifReference[] = [],
  tables: Buffer[] = [],
): Buffer {
  const properties: Buffer[] = [];
  const of = items.map((item, i) => {
    const numbers = item.properties.map((each) => properties.push(each));
    return [...number(i + 1, 2), numbers.length, ...numbers.flatMap((each) => number(each, 2))];
  });
  const infos = items.map(({ type }, i) =>
    box('infe', [2, 0, 0, 0], number(i + 1, 2), [0, 0], Buffer.from(type), [0]),
  );
  const table = references.map(([type, from, to]) =>
    box(type, number(from, 2), number(to.length, 2), ...to.map((each) => number(each, 2))),
  );
  const brands = box('ftyp', Buffer.from('avif\0\0\0\0avifmif1miaf'));
  const metaAt = (start: number) => {
    let at = start;
    const places = items.map(({ data }, i) => {
      at += data.length;
      const [from, length] = [number(at - data.length, 4), number(data.length, 4)];
      return [...number(i + 1, 2), 0, 0, 0, 1, ...from, ...length];
    });
    return box(
      'meta',
      [0, 0, 0, 0],
      box('hdlr', Array(8).fill(0), Buffer.from('pict'), Array(13).fill(0)),
      box('pitm', [0, 0, 0, 0, 0, 1]),
      box('iloc', [0, 0, 0, 0, 0x44, 0], number(items.length, 2), ...places),
      box('iinf', [0, 0, 0, 0], number(items.length, 2), ...infos),
      box(
        'iprp',
        box('ipco', ...properties),
        box('ipma', [0, 0, 0, 1], number(items.length, 4), ...of),
        ...tables,
      ),
      ...(table.length > 0 ? [box('iref', [0, 0, 0, 0], ...table)] : []),
    );
  };
  const start = brands.length + metaAt(0).length + 8;
  return Buffer.concat([
    brands,
    metaAt(start),
    box('mdat', Buffer.concat(items.map(({ data }) => data))),
  ]);
}
