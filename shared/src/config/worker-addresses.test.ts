import { describe, expect, it } from 'vitest';
import { workerAddresses } from './worker-addresses.ts';

const { schema, format } = workerAddresses();

describe('addresses of GPU workers', () => {
  it('have weights and zones where they say so', () => {
    const text = 'https://a.example/gpu/ weight=2.5 zone=eu, http://10.0.0.7:8788';
    expect(schema.parse(text)).toEqual([
      { url: 'https://a.example/gpu', weight: 2.5, zone: 'EU' },
      { url: 'http://10.0.0.7:8788', weight: 1, zone: null },
    ]);
  });

  it('are written as they are read', () => {
    const text = 'https://a.example weight=2 zone=NA, https://b.example';
    expect(format(schema.parse(text))).toBe(text);
  });

  it.each([
    ['no address', 'gpu-1'],
    ['another protocol', 'ftp://a.example'],
    ['an unknown word', 'https://a.example speed=2'],
    ['a weight of nothing', 'https://a.example weight=0'],
    ['a weight that is none', 'https://a.example weight=much'],
    ['a zone that is none', 'https://a.example zone=Europe'],
    ['the same twice', 'https://a.example, https://a.example/'],
    ['seventeen', Array.from({ length: 17 }, (_, i) => `https://gpu-${i}.example`).join()],
  ])('are refused: %s', (_, text) => {
    expect(schema.safeParse(text).success).toBe(false);
  });
});
