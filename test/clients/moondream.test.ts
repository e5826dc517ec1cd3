/** Moondream's client, unchanged, at the running service. Its own `sharp` is ours: the one it pins is downloaded at install. */
import { vl } from 'moondream';
import { describe, expect, inject, it } from 'vitest';
import { fillPlaces, imageBytes, imageUrl, QUESTION, untilAdmitted } from './service.ts';

const endpoint = `${inject('edgeUrl')}/moondream/v1`;
const client = new vl({ endpoint, apiKey: 'none' });
const image = Buffer.from(imageBytes);
const CAPTIONED = /^a pizza above an octopus/;

const textOf = async (chunks: unknown) =>
  (await Array.fromAsync(chunks as AsyncGenerator<string>)).join('');

describe.each([
  ['bytes, which it makes JPEG', image],
  ['a URL', { imageUrl }],
])('an image as %s', (_what, sent) => {
  it('is captioned, whole and as a stream', async () => {
    const { caption } = await client.caption({ image: sent });
    expect(caption).toMatch(CAPTIONED);
    const streamed = await client.caption({ image: sent, stream: true });
    expect(await textOf(streamed.caption)).toBe(caption);
  });

  it('is asked about, whole and as a stream', async () => {
    const { answer } = await client.query({ image: sent, question: QUESTION });
    expect(answer).toBe('a pizza');
    const streamed = await client.query({ image: sent, question: QUESTION, stream: true });
    expect(await textOf(streamed.answer)).toBe('a pizza');
  });
});

it.each(['short', 'normal', 'long'] as const)('writes a %s caption', async (length) => {
  expect((await client.caption({ image, length })).caption).toMatch(CAPTIONED);
  const { caption } = await client.caption({ image, length, stream: true });
  expect(await textOf(caption)).toMatch(CAPTIONED);
});

it('asks for an image where a question has none, and does not reason where it need not', async () => {
  const { answer } = await client.query({ question: QUESTION, reasoning: false });
  expect(answer).toContain('Send an image');
});

it('frees its place when the client goes, before the first characters too', async () => {
  await using _places = await fillPlaces(7);
  const controller = new AbortController();
  const body = JSON.stringify({ image_url: imageUrl, question: QUESTION, stream: true });
  const { signal } = controller;
  const reply = fetch(`${endpoint}/query`, { method: 'POST', body, signal });
  await untilAdmitted(8);
  controller.abort();
  await expect(reply.then((response) => response.text())).rejects.toThrow(/abort/i);
  await untilAdmitted(7);
});

describe('errors', () => {
  const requests = [
    ['no image', () => ({ imageUrl: 'data:image/png;base64,bm8gaW1hZ2U=' }), {}, 400],
    ['reasoning', () => ({ imageUrl }), { reasoning: true }, 400],
    ['a variant', () => ({ imageUrl }), { variant: 'mine/1' }, 400],
  ] as const;

  it.each(requests)('have a status: %s', async (_what, sent, members, status) => {
    const asked = client.query({ image: sent(), question: QUESTION, ...members });
    await expect(asked).rejects.toThrow(`HTTP error! status: ${status}`);
  });

  it.each(requests)('are no empty text as a stream: %s', async (_what, sent, members) => {
    const request = { image: sent(), question: QUESTION, stream: true, ...members };
    const { answer } = await client.query(request);
    await expect(textOf(answer)).rejects.toThrow(/"(invalid-image|unsupporte)/);
  });

  it('are 404 for what is not done', async () => {
    await expect(client.detect({ image, object: 'pizza' })).rejects.toThrow('status: 404');
    await expect(client.point({ image, object: 'pizza' })).rejects.toThrow('status: 404');
    await expect(client.segment({ image, object: 'pizza' })).rejects.toThrow('status: 404');
  });

  it('are 429 for a caller with too many requests, streamed or not', async () => {
    await using _places = await fillPlaces();
    await expect(client.caption({ image })).rejects.toThrow('status: 429');
    const { caption } = await client.caption({ image, stream: true });
    await expect(textOf(caption)).rejects.toThrow(/too-many-r/);
  });
});
