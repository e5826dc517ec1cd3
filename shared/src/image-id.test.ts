import { expect, it } from 'vitest';
import { IMAGE_ID, imageIdOf } from './image-id.ts';

it('the id of an image is the SHA-256 of its bytes', async () => {
  const id = await imageIdOf(new TextEncoder().encode('abc'));
  expect(id).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  expect(id).toMatch(IMAGE_ID);
});
