/** Images in items become URLs; everything else stays as it was written. */
import { expect, test } from 'vitest';
import { base64, newImage } from '../testing/edge.ts';
import { moveImages } from './move-images.ts';

const image = newImage();
const data = base64(image);
const dataUrl = `data:image/png;base64,${data}`;
const stored = 'stored';

async function moved(body: unknown): Promise<{ body: unknown; images: Uint8Array[] }> {
  const images: Uint8Array[] = [];
  const result = await moveImages(body, { maxBytes: 1000 }, async (_, bytes) => {
    images.push(bytes);
  });
  const text = JSON.stringify(result).replaceAll(
    /https:\/\/job-image\.invalid\/[0-9a-f]{64}/g,
    stored,
  );
  return { body: JSON.parse(text), images };
}

test.each<[string, unknown, unknown]>([
  ['base64 as data', { image: { data } }, { image: { url: stored } }],
  ['a data: URL', { image: { url: dataUrl } }, { image: { url: stored } }],
  ['base64 by itself', { image: data, prompt: 'x' }, { image: stored, prompt: 'x' }],
  [
    'a part of a conversation',
    { messages: [{ content: [{ type: 'image_url', image_url: { url: dataUrl } }] }] },
    { messages: [{ content: [{ type: 'image_url', image_url: { url: stored } }] }] },
  ],
  ['an image by its member', { image_url: dataUrl }, { image_url: stored }],
  [
    'the last of a conversation',
    {
      messages: [
        { image_url: `data:image/png;base64,${base64(newImage())}` },
        { image_url: dataUrl },
      ],
    },
    { messages: [{ image_url: expect.stringMatching(/^data:/) }, { image_url: stored }] },
  ],
  [
    'one that stands several times',
    [{ image_url: dataUrl }, { image_url: dataUrl }],
    [{ image_url: stored }, { image_url: stored }],
  ],
  [
    'a file of a conversation',
    { content: [{ type: 'file', file: { file_data: dataUrl, filename: 'a.png' } }] },
    { content: [{ type: 'file', file: { file_data: stored, filename: 'a.png' } }] },
  ],
])('%s becomes a URL', async (_, body, expected) => {
  const result = await moved(body);
  expect(result.body).toEqual(expected);
  expect(result.images).toEqual([image]);
});

test.each<[string, unknown]>([
  ['an address', { image: { url: `https://images.example.org/${'a'.repeat(80)}` } }],
  ['a hash', { image: { sha256: 'a'.repeat(64) } }],
  ['a hash by itself', { image: 'a'.repeat(64) }],
  ['a text that is an image', { messages: [{ content: dataUrl }], prompt: data, text: dataUrl }],
  ['what is no image', { image: { data: btoa('x'.repeat(100)) } }],
  ['what is no base64', { image: { data: `${'a'.repeat(100)}!` } }],
  ['an image that is too large', { image: { data: base64(newImage(2000)) } }],
  ['two images where one is meant', { image: { data, url: 'https://images.example.org/a' } }],
  ['names of prototypes', JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}')],
])('%s stays as it is', async (_, body) => {
  const result = await moved(body);
  expect(JSON.stringify(result.body)).toBe(JSON.stringify(body));
  expect(result.images).toEqual([]);
});

test('of a long conversation small images become URLs too, from the largest on, until it is short', async () => {
  const sizes = Array.from({ length: 60 }, (_, i) => 8000 + 10 * i);
  const body = {
    messages: sizes.map((size) => ({
      image_url: `data:image/png;base64,${base64(newImage(size))}`,
    })),
  };
  const read = async (value: object) => {
    const images: number[] = [];
    const { length } = JSON.stringify(value);
    const options = { maxBytes: 100_000, length };
    const result = await moveImages(value, options, async (_, bytes) => {
      images.push(bytes.length);
    });
    return { images, text: JSON.stringify(result) };
  };
  const { images, text } = await read(body);
  expect(text.length).toBeLessThanOrEqual(300_000);
  expect(text.length).toBeGreaterThan(280_000);
  // The last, and then the largest.
  expect(images).toEqual(images.toSorted((a, b) => b - a));
  expect((await read({ messages: body.messages.slice(0, 20) })).images).toHaveLength(1);
  // Nothing is put for what would be too long all the same.
  const few = await read({ ...body, text: 'x'.repeat(1_000_000) });
  expect(few.images).toHaveLength(1);
});

test('all large images of a conversation become URLs, with a pause before each', async () => {
  const large = Array.from({ length: 3 }, () => newImage(20_000));
  const body = large.map((bytes) => ({ image_url: `data:image/png;base64,${base64(bytes)}` }));
  const lengths: number[] = [];
  const images: Uint8Array[] = [];
  const result = await moveImages(
    [...body, { url: dataUrl }],
    { maxBytes: 100_000, pause: async (length) => void lengths.push(length) },
    async (_, bytes) => void images.push(bytes),
  );
  expect(images).toEqual([...large, image]);
  expect(lengths).toHaveLength(4);
  expect(JSON.stringify(result).length).toBeLessThan(500);
});
