/** Small files that cost a decoder much, where it is shown them as they are. */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';

const SIDE = 64;
/** Tag of EXIF: where the directory with the camera's settings is. */
const SUB_DIRECTORY = 0x8769;
const LONG = 4;
const ENTRY_BYTES = 12;
const HEADER_BYTES = 8;

export type HostileImage = { type: string; make: () => Buffer };

/** Each differs from all before it, so that no cache has it. */
export async function hostileImages(): Promise<HostileImage[]> {
  const image = sharp({
    create: { width: SIDE, height: SIDE, channels: 3, background: '#c33' },
  });
  const png = await image.clone().png().toBuffer();
  const jpeg = await image.clone().jpeg().toBuffer();
  const scans = await image.clone().resize(2000, 2000).jpeg({ progressive: true }).toBuffer();
  const avif = await image.clone().avif().toBuffer();
  const exif = directoryInItself(4900);
  const palettes = repeated(chunkOf('PLTE', Buffer.alloc(3)), 300_000);
  return [
    { type: 'image/jpeg', make: () => Buffer.concat([withExif(jpeg, exif), mark()]) },
    { type: 'image/png', make: () => withChunks(png, chunkOf('eXIf', exif)) },
    { type: 'image/png', make: () => withChunks(png, palettes) },
    { type: 'image/jpeg', make: () => Buffer.concat([withScans(scans, 400), mark()]) },
    {
      type: 'image/avif',
      make: () => Buffer.concat([avif, repeated(boxOf('free'), 500_000), mark()]),
    },
  ];
}

/** A directory of EXIF (II, 42) all of whose entries say that another one is where it is itself. */
function directoryInItself(entries: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + 2 + entries * ENTRY_BYTES + 4);
  bytes.write('II*\0', 'latin1');
  bytes.writeUInt32LE(HEADER_BYTES, 4);
  bytes.writeUInt16LE(entries, HEADER_BYTES);
  for (let i = 0; i < entries; i++) {
    const at = HEADER_BYTES + 2 + i * ENTRY_BYTES;
    bytes.writeUInt16LE(SUB_DIRECTORY, at);
    bytes.writeUInt16LE(LONG, at + 2);
    bytes.writeUInt32LE(1, at + 4);
    bytes.writeUInt32LE(HEADER_BYTES, at + 8);
  }
  return bytes;
}

function withExif(jpeg: Buffer, exif: Buffer): Buffer {
  const head = Buffer.from('\xff\xe1\0\0Exif\0\0', 'latin1');
  head.writeUInt16BE(exif.length + head.length - 2, 2);
  return Buffer.concat([jpeg.subarray(0, 2), head, exif, jpeg.subarray(2)]);
}

/** A progressive JPEG whose last scan comes again and again. */
function withScans(jpeg: Buffer, times: number): Buffer {
  const last = jpeg.lastIndexOf(Buffer.of(0xff, 0xda));
  return Buffer.concat([
    jpeg.subarray(0, last),
    repeated(jpeg.subarray(last, -2), times),
    jpeg.subarray(-2),
  ]);
}

/** Behind the header, before all others. */
function withChunks(png: Buffer, chunks: Buffer): Buffer {
  const own = chunkOf('tEXt', mark());
  return Buffer.concat([png.subarray(0, 33), own, chunks, png.subarray(33)]);
}

function chunkOf(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(data.length + 12);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), data.length + 8);
  return chunk;
}

function boxOf(type: string): Buffer {
  const box = Buffer.alloc(HEADER_BYTES);
  box.writeUInt32BE(HEADER_BYTES, 0);
  box.write(type, 4, 'latin1');
  return box;
}

const repeated = (bytes: Buffer, times: number) =>
  Buffer.alloc(bytes.length * times, new Uint8Array(bytes));

const mark = () => Buffer.from(randomBytes(8).toString('hex'));
