import { expect, it } from 'vitest';
import { fingerprintOf } from './fingerprint.ts';

it('differs with the bundle and with what computes, and with nothing else', () => {
  const bundle = { digest: 'a'.repeat(64) };
  const prints = [
    fingerprintOf(bundle, 'cpu'),
    fingerprintOf(bundle, 'cuda'),
    fingerprintOf({ digest: 'b'.repeat(64) }, 'cpu'),
  ];
  expect(new Set(prints).size).toBe(3);
  expect(fingerprintOf({ ...bundle }, 'cpu')).toBe(prints[0]);
  expect(prints[0]).toMatch(/^[0-9a-f]{32}$/);
});
