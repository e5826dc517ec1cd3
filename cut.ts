import sharp from 'sharp';
import { openImage } from './gpu-worker/src/image/decode.ts';
const limits: any = { maxBytes: 1e8, maxPixels: 1e8, maxMemory: 4e9, maxScans: 100, maxFrames: 1e6, maxTiles: 1000, maxProfileBytes: 1e7 };
async function ok(bytes: Uint8Array): Promise<boolean> {
  try { const { pixels } = await openImage(bytes, limits); await pixels.removeAlpha().raw({ depth: 'uchar' }).toBuffer(); return true; } catch (e) { if (!(e as Error).message.match(/damaged|cut|expected|Vips|load|png|jpeg|webp/i)) console.log(String(e).slice(0,100)); return false; }
}
const make: Record<string, () => Promise<Buffer>> = {};
for (const [n, w, h] of [['small', 8, 8], ['mid', 90, 90], ['flat', 200, 150], ['big', 640, 480]] as const) {
  const flat = n === 'flat';
  const raw = Buffer.from(Uint8Array.from({ length: 3 * w * h }, (_, i) => flat ? 200 : (i * 7919 + (i >> 5) * 31) % 251));
  const s = () => sharp(raw, { raw: { width: w, height: h, channels: 3 } });
  make[`jpeg ${n}`] = () => s().jpeg().toBuffer();
  make[`jpeg progressive ${n}`] = () => s().jpeg({ progressive: true }).toBuffer();
  make[`png ${n}`] = () => s().png().toBuffer();
  make[`png interlaced ${n}`] = () => s().png({ progressive: true }).toBuffer();
  make[`webp ${n}`] = () => s().webp().toBuffer();
  make[`webp lossless ${n}`] = () => s().webp({ lossless: true }).toBuffer();
  make[`webp exif ${n}`] = () => s().withExif({ IFD0: { Copyright: 'abc' } }).webp().toBuffer();
  make[`gif ${n}`] = () => s().gif().toBuffer();
  make[`avif ${n}`] = () => s().avif().toBuffer();
}
make['webp animated'] = () => sharp(Buffer.from(Uint8Array.from({ length: 3 * 40 * 80 }, (_, i) => (i * 7919) % 251)), { raw: { width: 40, height: 80, channels: 3, pageHeight: 40 } as any }).webp({ loop: 0 }).toBuffer();
make['gif animated'] = () => sharp(Buffer.from(Uint8Array.from({ length: 3 * 40 * 80 }, (_, i) => (i * 7919) % 251)), { raw: { width: 40, height: 80, channels: 3, pageHeight: 40 } as any }).gif({ loop: 0 }).toBuffer();
for (const [name, m] of Object.entries(make)) {
  let b: Buffer; try { b = await m(); } catch (e) { console.log(name, 'not made', String(e).slice(0, 80)); continue; }
  const accepted: number[] = [];
  for (let k = 0; k <= Math.min(60, b.length - 20); k++) if (await ok(new Uint8Array(b.subarray(0, b.length - k)))) accepted.push(k);
  const shares = [];
  for (const p of [0.3, 0.5, 0.8, 0.9, 0.95]) if (await ok(new Uint8Array(b.subarray(0, Math.floor(b.length * p))))) shares.push(p);
  console.log(name, b.length, 'accepted cuts', accepted.join(','), 'shares', shares.join(','));
}
