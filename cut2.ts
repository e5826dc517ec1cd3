import sharp from 'sharp';
import { openImage } from './gpu-worker/src/image/decode.ts';
const limits: any = { maxBytes: 1e8, maxPixels: 1e8, maxMemory: 4e9, maxScans: 100, maxFrames: 1e6, maxTiles: 1000, maxProfileBytes: 1e7 };
async function ok(bytes: Uint8Array): Promise<boolean> {
  try { const { pixels } = await openImage(bytes, limits); await pixels.removeAlpha().raw({ depth: 'uchar' }).toBuffer(); return true; } catch { return false; }
}
let n = 0; const hits: Record<string, number> = {}; const sizes: Record<string, [number, number]> = {};
for (let i = 0; i < 400; i++) {
  const w = i % 4 === 0 ? 8 : 20 + (i * 37) % 300, h = i % 4 === 0 ? 8 : 20 + (i * 53) % 300;
  const noise = i % 3;
  const raw = Buffer.from(Uint8Array.from({ length: 3 * w * h }, (_, j) => noise === 0 ? (j * 7919 + i * 13) % 251 : noise === 1 ? (j / w / 3 + i) % 255 : ((j * j + i) >> 3) % 255));
  const opt: any = { quality: 40 + (i * 7) % 60, chromaSubsampling: i % 2 ? '4:4:4' : '4:2:0', mozjpeg: false, optimizeCoding: i % 5 !== 0 };
  const b = await sharp(raw, { raw: { width: w, height: h, channels: 3 } }).jpeg(opt).toBuffer();
  n++;
  const key = i % 4 === 0 ? 'tiny' : 'other';
  for (const k of [1, 2, 3, 4, 5, 8]) if (await ok(new Uint8Array(b.subarray(0, b.length - k)))) hits[`${key} cut ${k}`] = (hits[`${key} cut ${k}`] ?? 0) + 1;
}
console.log(n, hits);
