/** Lines of a manifest are images, with or without members of their own. */
import { describe, expect, it } from 'vitest';
import { readPartLine } from './part-line.ts';

describe('a line of a manifest', () => {
  it.each([
    ['a b.jpg', { id: 'a b.jpg', image: { kind: 'path', path: 'a b.jpg' } }],
    [
      ' https://e.org/1 ',
      { id: 'https://e.org/1', image: { kind: 'url', url: 'https://e.org/1' } },
    ],
    ['s3://b/k', { id: 's3://b/k', image: { kind: 'object', address: 's3://b/k' } }],
    [`https://e.org/${'x'.repeat(300)}`, { id: '7', image: { kind: 'url' } }],
    ['{"id": "a", "image": "b.jpg", "n": 2}', { id: 'a', members: { n: 2 } }],
    ['{"image": {"path": "http:"}}', { id: '7', image: { kind: 'path', path: 'http:' } }],
    ['{"image": {"url": "s3://b/k"}}', { image: { kind: 'object', address: 's3://b/k' } }],
    ['{"image": "data:,x"}', { image: { kind: 'data', data: 'data:,x' } }],
  ])('%s', (text, line) => {
    expect(readPartLine(text, 7)).toMatchObject(line);
  });

  it.each([
    ['{"image": ', 'The line begins as JSON'],
    ['{"id": 7, "image": "a"}', 'id: must be a text'],
    ['{"id": "", "image": "a"}', 'id: must be a text'],
    ['{}', 'image: must be'],
    ['{"image": {"url": "https://e.org", "path": "a"}}', 'image: must be'],
    ['{"image": {"sha256": "a"}}', 'image: must be'],
    ['{"image": null}', 'image: must be'],
  ])('is not %s', (text, message) => {
    expect(() => readPartLine(text, 7)).toThrow(message);
  });
});
