import { expect, it } from 'vitest';
import { matchesTag, negotiate } from './content-negotiation.ts';

const OFFERS = ['application/json', 'application/octet-stream', 'application/x-npy'] as const;

it.each<[string | null, string | null]>([
  [null, 'application/json'],
  ['', 'application/json'],
  ['*/*', 'application/json'],
  ['application/*', 'application/json'],
  ['application/x-npy', 'application/x-npy'],
  ['Application/X-NPY; q=0.5, application/json;q=0.4', 'application/x-npy'],
  ['application/json;q=0, */*', 'application/octet-stream'],
  ['text/html, application/xhtml+xml, */*;q=0.8', 'application/json'],
  ['image/png', null],
  ['application/json;q=0', null],
])('Accept %j gets %j', (accept, expected) => {
  expect(negotiate(accept, OFFERS)).toBe(expected);
});

it.each<[string | null, boolean]>([
  [null, false],
  ['"b"', false],
  ['"a"', true],
  ['"b", W/"a"', true],
  ['*', true],
])('If-None-Match %j matches "a": %s', (header, expected) => {
  expect(matchesTag(header, '"a"')).toBe(expected);
});
