/** Images for the tests that span workspaces: real scenes, and variants of them made by sharp. */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { readImage, readScenes, type Scene } from '../../tools/scenes.ts';

export type TestImage = { bytes: Uint8Array<ArrayBuffer>; sha256: string; scene: Scene };

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Test scenes, spread over layouts and artists. */
export async function testImages(count: number): Promise<TestImage[]> {
  const scenes = await readScenes();
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const scene = scenes[Math.floor((i * scenes.length) / count)] as Scene;
      const bytes = await readImage(scene);
      return { bytes, sha256: sha256Of(bytes), scene };
    }),
  );
}

/**
 * The same pixels in bytes that no cache has: a PNG with a unique comment.
 * @param mark any text; another mark gives other bytes
 */
export async function withNewBytes(
  bytes: Uint8Array,
  mark: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const png = await sharp(bytes)
    .withExif({ IFD0: { ImageDescription: mark } })
    .png()
    .toBuffer();
  return new Uint8Array(png);
}
