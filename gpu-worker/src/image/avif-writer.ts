/** Writes an AVIF (ISO/IEC 14496-12 and 23008-12) that can be read in one way only. */
import type { Association, Reference } from './avif-tables.ts';

/** `content`: where items have the very same, it is in the file once. */
export type WrittenItem = {
  id: number;
  kind: string;
  isHidden: boolean;
  associations: readonly Pick<Association, 'index' | 'isEssential'>[];
  content: Uint8Array;
};

/** The image is the first item. Those that references name and that are not there become an item that nobody has. */
export type AvifFile = {
  items: readonly WrittenItem[];
  references: readonly Reference[];
  /** By their number, from 1. Those that no item has are left out. */
  properties: readonly { type: string; content: Uint8Array }[];
};

type Content = readonly Uint8Array[];

const NO_ITEM = 0;
const VERSION_0 = Uint8Array.of(0, 0, 0, 0);
const HEADER_BYTES = 8;
const HANDLER = `\0\0\0\0pict${'\0'.repeat(13)}`;

/** @param file of at most 65,535 items */
export function avifFile({ items, references, properties }: AvifFile): Uint8Array {
  const numbers = new Map(items.map(({ id }, i) => [id, i + 1]));
  const numberOf = (id: number) => uint16(numbers.get(id) ?? NO_ITEM);
  const infos = items.map(({ kind, isHidden }, i) =>
    box('infe', [
      Uint8Array.of(2, 0, 0, isHidden ? 1 : 0),
      uint16(i + 1),
      uint16(0),
      ascii(`${kind}\0`),
    ]),
  );
  const links = references.map(({ type, of, to }) =>
    box(type, [numberOf(of), uint16(to.length), ...to.map(numberOf)]),
  );
  const tables = propertyTables(items, properties);
  const metaOf = (contentAt: number) =>
    box('meta', [
      VERSION_0,
      box('hdlr', [VERSION_0, ascii(HANDLER)]),
      box('pitm', [VERSION_0, uint16(1)]),
      // Numbers of four bytes, and none that is added to them.
      box('iloc', [VERSION_0, uint16(0x4400), uint16(items.length), ...places(items, contentAt)]),
      box('iinf', [VERSION_0, uint16(items.length), ...infos]),
      tables,
      ...(links.length > 0 ? [box('iref', [VERSION_0, ...links])] : []),
    ]);
  // Its length is the same wherever the content is.
  const meta = metaOf(BRANDS.length + metaOf(0).length + HEADER_BYTES);
  const contents = new Set(items.map(({ content }) => content));
  return Buffer.concat([BRANDS, meta, box('mdat', [...contents])]);
}

function propertyTables(
  items: readonly WrittenItem[],
  properties: AvifFile['properties'],
): Uint8Array {
  const has = new Set(items.flatMap(({ associations }) => associations.map(({ index }) => index)));
  const used = new Map<number, number>();
  const boxes: Uint8Array[] = [];
  for (const [i, { type, content }] of properties.entries()) {
    if (has.has(i + 1)) used.set(i + 1, boxes.push(box(type, [content])));
  }
  const rows = items.flatMap(({ associations }, i) => rowsOf(associations, i + 1, used));
  const ofItems = [Uint8Array.of(0, 0, 0, 1), uint32(rows.length), ...rows];
  return box('iprp', [box('ipco', boxes), box('ipma', ofItems)]);
}

/** What a row has at most. */
const MOST_OF_A_ROW = 255;

/** @param used by the number of a property, the one that it has in the file that is written */
function rowsOf(
  associations: WrittenItem['associations'],
  number: number,
  used: ReadonlyMap<number, number>,
): Uint8Array[] {
  const rows: Uint8Array[] = [];
  for (let from = 0; from < associations.length; from += MOST_OF_A_ROW) {
    const some = associations.slice(from, from + MOST_OF_A_ROW);
    const values = some.map(({ index, isEssential }) =>
      uint16((used.get(index) ?? 0) | (isEssential ? 0x8000 : 0)),
    );
    rows.push(Buffer.concat([uint16(number), Uint8Array.of(values.length), ...values]));
  }
  return rows;
}

function places(items: readonly WrittenItem[], contentAt: number): Uint8Array[] {
  const known = new Map<Uint8Array, number>();
  let end = contentAt;
  return items.map(({ content }, i) => {
    const at = known.get(content) ?? end;
    if (!known.has(content)) end += content.length;
    known.set(content, at);
    // In this file, in one range; one without a length would be all that follows.
    const range =
      content.length > 0 ? [uint16(1), uint32(at), uint32(content.length)] : [uint16(0)];
    return Buffer.concat([uint16(i + 1), uint16(0), ...range]);
  });
}

function box(type: string, content: Content): Uint8Array {
  const bytes = content.reduce((sum, { length }) => sum + length, HEADER_BYTES);
  return Buffer.concat([uint32(bytes), ascii(type), ...content]);
}

const ascii = (text: string) => Buffer.from(text, 'latin1');
const uint16 = (value: number) => Uint8Array.of(value >> 8, value);
const uint32 = (value: number) =>
  Uint8Array.of(value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value);

/** What each file begins with: neither of a sequence, nor of images of another codec. */
export const BRANDS: Uint8Array = box('ftyp', [ascii('avif\0\0\0\0avifmif1miaf')]);
