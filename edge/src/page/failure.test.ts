import { PROBLEMS } from '@blip2/shared/errors';
import { describe, expect, it } from 'vitest';
import { Failure, WORDS, wordsFor } from './failure.ts';

describe('the words for people', () => {
  it.each(Object.keys(PROBLEMS))('has words of its own for the problem %s', (slug) => {
    expect(Object.hasOwn(WORDS, slug)).toBe(true);
  });

  it.each(Object.entries(WORDS))(
    'of %s is sentences, without the words of an API',
    (_, { sentence }) => {
      expect(sentence).toMatch(/^[A-Z].*[.?]$/);
      expect(sentence).not.toMatch(
        /`|json|multipart|content-type|header|http|token|[45]\d\d|_|GPU/i,
      );
    },
  );

  it('says when to try again, where the service says so', () => {
    const words = wordsFor(new Failure('overloaded', { retry_after: 5 }));
    expect(words).toEqual({
      sentence: 'Too many people are asking right now. Try again in 5 seconds.',
      remedy: 'retry',
    });
    expect(wordsFor(new Failure('shutting-down', { retry_after: 1 })).sentence).toMatch(
      /1 second\.$/,
    );
  });

  it.each([
    ['a problem', { type: '/problems/overloaded', retry_after: 2 }, 503, 'overloaded'],
    [
      'a problem with a whole address',
      { type: 'https://x.example/problems/no-image' },
      400,
      'no-image',
    ],
    ['what a proxy on the way says', null, 502, 'unreachable'],
    ['something else', {}, 418, 'misunderstood'],
  ] as const)('comes from %s', (_, problem, status, slug) => {
    expect(Failure.from(problem, status).slug).toBe(slug);
  });

  it.each([
    ['invalid-image', 'This is a text, not an image. Send the image itself.'],
    [
      'unsupported-media-type',
      'The body is called text/plain. This is a TIFF image, which is not decoded here. Convert it: `convert FILE image.png`.',
    ],
  ])('says what a file is, as the API does: %s', (slug, detail) => {
    const { sentence, remedy } = wordsFor(new Failure(slug, { detail }));
    expect(sentence).toMatch(
      /^This is a (text, not an image|TIFF image, which is not decoded here)\. JPEG/,
    );
    expect(remedy).toBe('image');
    expect(wordsFor(new Failure(slug, { detail: 'It is damaged.' }))).toEqual(WORDS[slug]);
    expect(wordsFor(new Failure('not-found', { detail }))).toEqual(WORDS['not-found']);
  });

  it('is there for a problem of tomorrow, too', () => {
    expect(wordsFor(new Failure('of-tomorrow')).remedy).toBe('retry');
    expect(wordsFor(new TypeError('x')).remedy).toBe('retry');
  });
});
