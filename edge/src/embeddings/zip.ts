/** Zip archives without compression, written as a stream: each file is in memory once, when its turn comes. */
import { crc32 } from 'node:zlib';

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20;
/** 1 January 1980, the first that the format has: the same files make the same bytes. */
const DATE = 0x21;

type Entry = { name: string; crc: number; size: number; offset: number };

/**
 * Fewer than 65,536 files, and 4 GiB in all.
 * @param files names in ASCII
 * @example new Response(ReadableStream.from(zip(files)))
 */
export async function* zip(
  files: AsyncIterable<{ name: string; bytes: Uint8Array }>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const entries: Entry[] = [];
  let offset = 0;
  for await (const { name, bytes } of files) {
    const entry = { name, crc: crc32(bytes), size: bytes.byteLength, offset };
    entries.push(entry);
    const header = localHeader(entry);
    yield header;
    yield bytes;
    offset += header.byteLength + bytes.byteLength;
  }
  let size = 0;
  for (const entry of entries) {
    const header = centralHeader(entry);
    yield header;
    size += header.byteLength;
  }
  yield fields(
    [4, END],
    [2, 0],
    [2, 0],
    [2, entries.length],
    [2, entries.length],
    [4, size],
    [4, offset],
    [2, 0],
  );
}

type Field = readonly [bytes: 2 | 4, value: number];

function common({ name, crc, size }: Entry): Field[] {
  const [flags, stored, time, extra] = [0, 0, 0, 0];
  return [
    [2, VERSION],
    [2, flags],
    [2, stored],
    [2, time],
    [2, DATE],
    [4, crc],
    [4, size],
    [4, size],
    [2, name.length],
    [2, extra],
  ];
}

function localHeader(entry: Entry): Uint8Array {
  return withName(fields([4, LOCAL_HEADER], ...common(entry)), entry.name);
}

function centralHeader(entry: Entry): Uint8Array {
  const [comment, disk, internal, external] = [0, 0, 0, 0];
  const header = fields(
    [4, CENTRAL_HEADER],
    [2, VERSION],
    ...common(entry),
    [2, comment],
    [2, disk],
    [2, internal],
    [4, external],
    [4, entry.offset],
  );
  return withName(header, entry.name);
}

/** Numbers in little endian. */
function fields(...all: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(all.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of all) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

function withName(header: Uint8Array, name: string): Uint8Array {
  const bytes = new Uint8Array(header.length + name.length);
  bytes.set(header);
  bytes.set(new TextEncoder().encode(name), header.length);
  return bytes;
}
