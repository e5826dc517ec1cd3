/** The mix of requests: shares as they are declared, and new images that are new. */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { drawKind, MIX, requestOf } from './mix.ts';
import { seededRandom } from './random.ts';
import { knownImages, supplyOf } from './scenes.ts';

const hash = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

it('the shares are of 100, and drawn so', () => {
  const shares = Object.entries(MIX);
  expect(shares.reduce((sum, [, share]) => sum + share, 0)).toBe(100);
  const random = seededRandom(5);
  const drawn = Array.from({ length: 20_000 }, () => drawKind(random));
  for (const [kind, share] of shares) {
    const percent = (100 * drawn.filter((one) => one === kind).length) / drawn.length;
    expect(Math.abs(percent - share)).toBeLessThan(1);
  }
});

it('new images differ from each other in bytes and pixels, of few scenes too', async () => {
  const known = await knownImages(2);
  const supply = supplyOf(known, seededRandom(5));
  const images = await Promise.all(Array.from({ length: 40 }, () => supply.take()));
  expect(new Set(images.map((bytes) => hash(bytes))).size).toBe(images.length);
  const pixels = await Promise.all(images.map((bytes) => sharp(bytes).raw().toBuffer()));
  expect(new Set(pixels.map((bytes) => hash(bytes))).size).toBe(images.length);
});

it('questions go with the image that they are about', async () => {
  const random = seededRandom(5);
  const known = await knownImages(6);
  const material = { known, supply: supplyOf(known, random), random };
  for (let i = 0; i < 30; i++) {
    const { body } = await requestOf('question by hash', material);
    const { image, question } = JSON.parse(String(body)) as {
      image: { sha256: string };
      question: string;
    };
    const about = known.find(({ sha256 }) => sha256 === image.sha256);
    expect(about?.scene.questions.map((one) => one.question)).toContain(question);
  }
});

it('a seed makes the same requests, in whatever order images get ready', async () => {
  const known = await knownImages(3);
  const draw = async (isHurried: boolean) => {
    const random = seededRandom(9);
    const material = { known, supply: supplyOf(known, random), random };
    const requests = [];
    for (let i = 0; i < 60; i++) {
      const request = requestOf(drawKind(random), material);
      if (!isHurried) await request;
      requests.push(request);
    }
    return (await Promise.all(requests)).map(({ path, body }) => [path, hash(body ?? '')]);
  };
  expect(await draw(true)).toEqual(await draw(false));
});
