import { imageIdOf } from '@blip2/shared/image-id';
import { MatchReply } from '@blip2/shared/schemas/match';
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { retrieval } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const idsOf = (text: string) => {
  const { cls_token_id, sep_token_id } = retrieval;
  return [cls_token_id, ...retrieval.tokenizer().encode(text), sep_token_id];
};

describe('matching', () => {
  const texts = ['a dog on a blue background', 'three Apples!'];

  it('scores each text in its order, by JSON or by multipart', async () => {
    const imageBytes = newImage();
    const form = new FormData();
    form.set('image', new Blob([imageBytes], { type: 'image/png' }));
    form.set('texts', JSON.stringify(texts));
    for (const body of [{ image: { data: base64(imageBytes) }, texts }, form]) {
      const reply = MatchReply.parse(await (await edge.post('/v1/match', body)).json());
      expect(reply).toMatchObject({
        model: retrieval.name,
        image: { sha256: await imageIdOf(imageBytes), width: 40, format: 'png' },
        scores: texts.map((text) => ({
          text,
          itm: 1 / idsOf(text).length,
          itc: idsOf(text).length / 100,
        })),
      });
    }
    expect(edge.gpu.received[0]?.request).toMatchObject({
      kind: 'match',
      revision: retrieval.revision,
      texts: texts.map(idsOf),
    });
  });

  it.each<[string, Record<string, unknown>, string, string]>([
    ['no texts', { texts: [] }, 'invalid-request', 'texts'],
    ['an empty text', { texts: ['a dog', ' '] }, 'invalid-request', 'texts.1'],
    ['too many texts', { texts: Array(65).fill('a') }, 'invalid-request', 'texts'],
    ['a long text', { texts: ['a', 'dog '.repeat(200)] }, 'prompt-too-long', 'texts.1'],
    ['a very long text', { texts: ['x'.repeat(5000)] }, 'prompt-too-long', 'texts'],
    ['no image', { image: undefined }, 'no-image', 'image'],
    ['a hash for an image', { image: { sha256: 'a'.repeat(64) } }, 'no-image', 'image.sha256'],
    ['an unknown field', { text: 'a dog' }, 'invalid-request', 'text'],
  ])('with %s is refused', async (_name, change, slug, field) => {
    const image = { data: base64(newImage()) };
    const response = await edge.post('/v1/match', { image, texts, ...change });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}`, field });
    expect(edge.gpu.received).toEqual([]);
  });
});
