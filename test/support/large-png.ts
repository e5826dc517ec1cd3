/** For tests: black PNGs of any size, compressed piece by piece, so that their pixels never are in memory. */
import { crc32, createDeflate } from 'node:zlib';

const PIECE = Buffer.alloc(2 ** 20);

/** RGB of eight bits. @example await pngOf(1, 49_000_000) // less than a megabyte */
export async function pngOf(width: number, height: number): Promise<Buffer<ArrayBuffer>> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const parts = [
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', await deflatedZeros((1 + 3 * width) * height)),
    chunk('IEND', Buffer.alloc(0)),
  ];
  return Buffer.concat(parts);
}

/** Length, type, data and checksum. */
export function chunk(type: string, data: Uint8Array): Buffer {
  const framed = Buffer.alloc(12 + data.length);
  framed.writeUInt32BE(data.length);
  framed.write(type, 4, 'latin1');
  framed.set(data, 8);
  framed.writeUInt32BE(crc32(framed.subarray(4, 8 + data.length)), 8 + data.length);
  return framed;
}

async function deflatedZeros(length: number): Promise<Buffer> {
  const deflate = createDeflate({ level: 1 });
  const collected = Array.fromAsync(deflate as AsyncIterable<Buffer>);
  for (let left = length; left > 0; left -= PIECE.length) {
    const isFull = !deflate.write(PIECE.subarray(0, Math.min(left, PIECE.length)));
    if (isFull) await new Promise((resolve) => deflate.once('drain', resolve));
  }
  deflate.end();
  return Buffer.concat(await collected);
}
