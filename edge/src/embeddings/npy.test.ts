import { describe, expect, it } from 'vitest';
import { toNpy } from './npy.ts';

describe('an npy file', () => {
  it.each<[number, number, 'float16' | 'float32', string]>([
    [1, 1, 'float16', '<f2'],
    [32, 192, 'float32', '<f4'],
    [32, 768, 'float16', '<f2'],
    [12345, 67890, 'float32', '<f4'],
  ])(
    'of shape (%i, %i) in %s has shape and type in an aligned header',
    (rows, columns, type, descr) => {
      const payload = Uint8Array.of(1, 2, 3, 4);
      const file = toNpy({ type, payload }, [rows, columns]);
      expect([...file.subarray(0, 8)]).toEqual([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
      const length = new DataView(file.buffer).getUint16(8, true);
      expect((10 + length) % 64).toBe(0);
      const header = new TextDecoder().decode(file.subarray(10, 10 + length));
      expect(header).toMatch(/\}\s*\n$/);
      expect(header).toContain(
        `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`,
      );
      expect(file.subarray(10 + length)).toEqual(payload);
    },
  );
});
