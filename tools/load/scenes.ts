/** Images for the load: scenes that the service knows already, and new ones that no cache has, by bytes or by pixels. */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { readImage, readScenes, type Scene } from '../scenes.ts';
import { type Random, seededRandom } from './random.ts';

export type KnownImage = { bytes: Uint8Array<ArrayBuffer>; sha256: string; scene: Scene };

/** Test scenes, spread over layouts and artists. */
export async function knownImages(count: number): Promise<KnownImage[]> {
  const scenes = await readScenes();
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const scene = scenes[Math.floor((i * scenes.length) / count)]!;
      const bytes = await readImage(scene);
      return { bytes, sha256: createHash('sha256').update(bytes).digest('hex'), scene };
    }),
  );
}

/** Share of a side that a crop leaves out at most. */
const MARGIN = 0.2;

/** A scene as another one would have taken it: cropped at random and encoded again. */
async function newImage(
  { bytes }: Pick<KnownImage, 'bytes'>,
  random: Random,
): Promise<Uint8Array<ArrayBuffer>> {
  const image = sharp(bytes);
  const { width, height } = await image.metadata();
  const part = (side: number) => {
    const length = Math.ceil(side * (1 - MARGIN * random()));
    return { length, from: Math.floor((side - length) * random()) };
  };
  const [x, y] = [part(width), part(height)];
  const cropped = image
    .extract({ left: x.from, top: y.from, width: x.length, height: y.length })
    // Crops of one scene may coincide, brightness to so many digits does not.
    .modulate({ brightness: 0.8 + 0.4 * random() });
  return new Uint8Array(await cropped.jpeg({ quality: 85 + Math.floor(10 * random()) }).toBuffer());
}

/** How many new images are ready before they are needed: making one takes milliseconds, which no request shall wait for. */
const AHEAD = 16;

/** New images, made ahead of their use. */
export function supplyOf(known: readonly KnownImage[], random: Random) {
  // One that is made later, of a generator of its own: the order in which images get ready changes nothing.
  const make = () => {
    const scene = known[Math.floor(random() * known.length)]!;
    return newImage(scene, seededRandom(Math.floor(2 ** 32 * random())));
  };
  const ready = Array.from({ length: AHEAD }, make);
  return {
    take: (): Promise<Uint8Array<ArrayBuffer>> => {
      ready.push(make());
      return ready.shift()!;
    },
  };
}
export type ImageSupply = ReturnType<typeof supplyOf>;
