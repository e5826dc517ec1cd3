import { expect, it } from 'vitest';
import { mediaType } from './media-type.ts';

it.each<[string | null, string]>([
  [null, ''],
  ['Image/PNG; charset=x', 'image/png'],
])('media type of %j is %j', (header, expected) => {
  expect(mediaType(header)).toBe(expected);
});
