import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesTag, negotiate, negotiateOrRefuse } from './content-negotiation.ts';

const OFFERS = ['application/json', 'application/octet-stream', 'application/x-npy'] as const;

describe('content negotiation', () => {
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
    ['application/json;q=0', 'application/octet-stream'],
    ['application/*;q=0', null],
    ['application/x-npy;q=0.1, application/*;q=0.9', 'application/json'],
    ['application/*;q=0, application/x-npy', 'application/x-npy'],
    ['*/*;q=0', null],
    ['*', 'application/json'],
    ['text/html, *; q=.2, */*; q=.2', 'application/json'],
    ['application/json; charset=utf-8', 'application/json'],
    ['application/x-npy;q=0.5, application/json;odata="a,b;c";q=0.4', 'application/x-npy'],
    [
      'application/x-npy;q=0.2, application/json;q=0.1, application/json;version=1',
      'application/x-npy',
    ],
    [', ,application/x-npy,', 'application/x-npy'],
    ['application/x-npy;q=5, application/json;q=1', 'application/json'],
    ['application/json;q=no, application/x-npy;q=0.001', 'application/x-npy'],
  ])('answers Accept: %j with %j', (accept, expected) => {
    expect(negotiate(accept, OFFERS)).toBe(expected);
  });

  it.each<[string, string | null]>([
    ['application/json, text/event-stream', 'application/json'],
    ['text/event-stream, application/json', 'application/json'],
    ['text/event-stream', 'text/event-stream'],
    ['text/event-stream;q=0, */*', 'application/json'],
    ['text/event-stream;q=0', 'application/json'],
    ['application/json;q=0, text/event-stream;q=0', null],
    ['application/json;q=0.9, text/event-stream', 'text/event-stream'],
    ['text/*', 'text/event-stream'],
    ['text/event-streams', null],
  ])('decides between JSON and events: %j is %j', (accept, expected) => {
    expect(negotiate(accept, ['application/json', 'text/event-stream'])).toBe(expected);
  });

  it('refuses with the names of all offers', () => {
    const refused = () => negotiateOrRefuse('image/png', OFFERS, { 'application/x-npy': 'NumPy' });
    expect(refused).toThrow(
      'Accept allows none of what is offered here: application/json, application/octet-stream, NumPy.',
    );
  });

  const quality = fc.integer({ min: 0, max: 1000 }).map((thousandths) => thousandths / 1000);
  const qualities = fc.record({
    'application/json': quality,
    'application/octet-stream': quality,
    'application/x-npy': quality,
  });

  it('prefers the highest quality, whatever the order, the case and the spaces', () => {
    const spaces = fc.constantFrom('', ' ', '\t');
    fc.assert(
      fc.property(qualities, fc.boolean(), spaces, spaces, (wanted, reversed, before, after) => {
        const ranges = Object.entries(wanted).map(([type, q]) => {
          return `${before}${type.toUpperCase()}${after};${before}q=${q}${after}`;
        });
        const accept = (reversed ? ranges.reverse() : ranges).join(',');
        const best = Math.max(...Object.values(wanted));
        const expected = OFFERS.find((offer) => wanted[offer] === best) ?? null;
        expect(negotiate(accept, OFFERS)).toBe(best === 0 ? null : expected);
      }),
    );
  });

  it('reads 64 ranges, and no more of one than 64 parameters', () => {
    const [json, , npy] = OFFERS;
    expect(negotiate(`${'a,'.repeat(63)}${npy}`, OFFERS)).toBe(npy);
    expect(negotiate(`${'a,'.repeat(64)}${npy}`, OFFERS)).toBeNull();
    expect(negotiate(`${npy}${';a=1'.repeat(63)};q=0, ${json};q=0.1`, OFFERS)).toBe(json);
    expect(negotiate(`${npy}${';a=1'.repeat(64)};q=0, ${json};q=0.1`, OFFERS)).toBe(npy);
  });

  it('has an offer or none for whatever is sent', () => {
    fc.assert(
      fc.property(fc.string(), (accept) => {
        expect([...OFFERS, null]).toContain(negotiate(accept, OFFERS));
      }),
    );
  });
});

it.each<[string | null, boolean]>([
  [null, false],
  ['"b"', false],
  ['"a"', true],
  ['"b", W/"a"', true],
  ['*', true],
  [`${'"b",'.repeat(63)}"a"`, true],
  [`${'"b",'.repeat(64)}"a"`, false],
])('If-None-Match: %j names the tag "a": %s', (header, expected) => {
  expect(matchesTag(header, '"a"')).toBe(expected);
});
