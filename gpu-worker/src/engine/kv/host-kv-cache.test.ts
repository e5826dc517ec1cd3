import { Tensor } from 'onnxruntime-node';
import { describe, expect, it, vi } from 'vitest';
import { newRows } from '../testing/new-rows.ts';
import { HostKvCache } from './host-kv-cache.ts';

const shape = { layers: 2, heads: 3, headDim: 8, maxPositions: 200 };

const fresh = (rows: number, positions: number) => newRows(shape, rows, positions);

/** What `fresh` has there; plane 3 is the values of layer 1. */
const valueAt = (
  rows: number,
  positions: number,
  plane: number,
  row: number,
  head: number,
  j: number,
  d: number,
) => {
  const { heads, headDim } = shape;
  const place = (Math.floor(plane / 2) * rows + row) * positions + j;
  return ((place * 2 + (plane % 2)) * heads + head) * headDim + d + 1;
};

describe('the KV cache in memory', () => {
  it('frees the memory of rows, of slices of them, and of its planes at once', async () => {
    const cache = new HostKvCache(shape);
    const run = fresh(1, 3);
    const computed = run[1]!.data as Float32Array;
    const result = cache.adopt(run);
    const copy = await cache.slice(result, 0, { start: 1, end: 3 });
    const values = copy.layers[1]?.data as Float32Array;
    expect(copy.byteLength).toBe(2 * values.byteLength);
    result[Symbol.dispose]();
    expect(computed.byteLength).toBe(0);
    expect(values[0]).toBe(valueAt(1, 3, 2, 0, 0, 1, 0));
    copy[Symbol.dispose]();
    expect(values.byteLength).toBe(0);
    cache.reserve({ slots: 4, positions: 100 });
    const grown = cache.view(0, 'key', 0, 1);
    cache.reset();
    expect(grown.byteLength).toBe(0);
    const first = cache.view(0, 'key', 0, 1);
    cache.release();
    expect(first.byteLength).toBe(0);
  });

  it('shrinks to fewer slots and positions with what they hold', async () => {
    const cache = new HostKvCache(shape);
    const values = () =>
      [0, 1].map((slot) =>
        [0, 1, 2].map((head) => {
          const view = cache.view(1, 'value', slot, 1);
          const from = head * cache.positions * shape.headDim;
          return [...view.subarray(from, from + 5 * shape.headDim)];
        }),
      );
    cache.reserve({ slots: 6, positions: 150 });
    await cache.put(cache.adopt(fresh(2, 5)), [
      { row: 0, slot: 0, start: 0, length: 5 },
      { row: 1, slot: 1, start: 0, length: 5 },
    ]);
    const before = values();
    cache.shrink({ slots: 2, positions: 64 });
    expect([cache.slots, cache.positions]).toEqual([2, 64]);
    expect(values()).toEqual(before);
    cache.shrink({ slots: 8, positions: 200 });
    expect([cache.slots, cache.positions]).toEqual([2, 64]);
    cache.reserve({ slots: 4, positions: 150 });
    expect(values()).toEqual(before);
  });

  it('grows again where memory ran out while it grew', () => {
    const cache = new HostKvCache(shape);
    const Real = Float32Array;
    let left = 1;
    vi.stubGlobal(
      'Float32Array',
      class extends Real {
        constructor(length: number) {
          if (typeof length === 'number' && left-- === 0) throw new RangeError('allocation failed');
          super(length);
        }
      },
    );
    const wanted = { slots: 64, positions: 100 };
    expect(() => cache.reserve(wanted)).toThrow('allocation failed');
    vi.unstubAllGlobals();
    cache.reserve(wanted);
    for (const layer of [0, 1]) {
      for (const part of ['key', 'value'] as const) {
        const { length } = cache.view(layer, part, 63, 1);
        expect(length).toBe(shape.heads * cache.positions * shape.headDim);
      }
    }
  });

  it('puts each row of a run into the positions of its slot', async () => {
    const cache = new HostKvCache(shape);
    cache.reserve({ slots: 4, positions: 15 });
    const [rows, positions] = [2, 5];
    const run = fresh(rows, positions);
    await cache.put(cache.adopt(run), [
      { row: 0, slot: 2, start: 10, length: 5 },
      { row: 1, slot: 3, start: 0, length: 3 },
    ]);
    const view = cache.view(1, 'value', 2, 2);
    const at = (slot: number, head: number, position: number, d: number) =>
      view[((slot * shape.heads + head) * cache.positions + position) * shape.headDim + d];
    expect(at(0, 2, 12, 7)).toBe(valueAt(rows, positions, 3, 0, 2, 2, 7));
    expect(at(1, 0, 2, 1)).toBe(valueAt(rows, positions, 3, 1, 0, 2, 1));
    // Padding of the second row was not copied, and nothing else was touched.
    expect(at(1, 0, 3, 0)).toBe(0);
    expect(at(0, 0, 9, 0)).toBe(0);
    expect(cache.view(0, 'key', 0, 2).every((value) => value === 0)).toBe(true);
  });

  it('turns NaN and infinity into 0, since no mask would hide them from the next sequence in the slot', async () => {
    const cache = new HostKvCache(shape);
    const run = fresh(1, 1);
    (run[0]!.data as Float32Array).set([Number.NaN, Number.NEGATIVE_INFINITY, 7]);
    await cache.put(cache.adopt(run), [{ row: 0, slot: 0, start: 0, length: 1 }]);
    expect([...cache.view(0, 'key', 0, 1).subarray(0, 3)]).toEqual([0, 0, 7]);
  });

  it('preserves the slots when it grows and when a slot is copied', async () => {
    const cache = new HostKvCache(shape);
    cache.reserve({ slots: 3, positions: 20 });
    const run = fresh(1, 20);
    await cache.put(cache.adopt(run), [{ row: 0, slot: 2, start: 0, length: 20 }]);
    const before = cache.positions;
    cache.reserve({ slots: 5, positions: before + 1 });
    expect(cache.positions).toBe(2 * before);
    expect(cache.slots).toBe(5);
    cache.copy(2, 0, { start: 0, end: 20 });
    const view = cache.view(1, 'key', 0, 1);
    const at = (head: number, position: number) =>
      view[(head * cache.positions + position) * shape.headDim];
    expect(at(1, 19)).toBe(valueAt(1, 20, 2, 0, 1, 19, 0));
    expect(at(2, 0)).toBe(valueAt(1, 20, 2, 0, 2, 0, 0));
  });

  it('never grows beyond the positions of the model, and shrinks when idle', () => {
    const cache = new HostKvCache(shape);
    const first = cache.bytes;
    cache.reserve({ slots: 1, positions: 200 });
    expect(cache.positions).toBe(200);
    expect(() => cache.reserve({ slots: 1, positions: 201 })).toThrow('do not fit');
    cache.reset();
    expect(cache.bytes).toBe(first);
  });

  it('grows in place while its buffers are large enough, and reuses them after a reset', async () => {
    const large = { layers: 1, heads: 32, headDim: 80, maxPositions: 2048 };
    const cache = new HostKvCache(large);
    const { buffer } = cache.view(0, 'value', 0, 1);
    const width = 2 * large.heads * large.headDim;
    const values = Float32Array.from({ length: 3 * width }, (_, i) => i);
    const run = [new Tensor('float32', values, [1, 3, width])];
    await cache.put(cache.adopt(run), [{ row: 0, slot: 1, start: 61, length: 3 }]);
    cache.reserve({ slots: 5, positions: 129 });
    const view = cache.view(0, 'value', 1, 1);
    expect(view.buffer).toBe(buffer);
    const head = view.subarray(31 * cache.positions * large.headDim);
    expect(head[63 * large.headDim]).toBe(2 * width + width / 2 + 31 * large.headDim);
    cache.reset();
    expect(cache.view(0, 'value', 0, 1).buffer).toBe(buffer);
    // Larger ones, too, unless they are a lot larger.
    cache.reserve({ slots: 16, positions: 128 });
    expect(buffer.byteLength).toBe(0);
    const larger = cache.view(0, 'value', 0, 1).buffer;
    cache.reset();
    expect(cache.view(0, 'value', 0, 1).buffer).toBe(larger);
    cache.reserve({ slots: 16, positions: 1024 });
    const largest = cache.view(0, 'value', 0, 1).buffer;
    cache.reset();
    expect(largest.byteLength).toBe(0);
    cache.release();
  });

  it('allocates memory for the slots that are used, a few positions at a time', () => {
    const cache = new HostKvCache({ ...shape, maxPositions: 4096 });
    const { layers, heads, headDim } = shape;
    const bytes = (slots: number, positions: number) =>
      4 * 2 * layers * heads * headDim * slots * positions;
    expect(cache.bytes).toBe(bytes(2, 64));
    cache.reserve({ slots: 2, positions: 130 });
    expect(cache.bytes).toBe(bytes(2, 192));
    cache.reserve({ slots: 6, positions: 10 });
    expect(cache.bytes).toBe(bytes(6, 192));
    cache.reserve({ slots: 6, positions: 1000 });
    cache.reserve({ slots: 6, positions: 1100 });
    expect(cache.bytes).toBe(bytes(6, 1280));
  });
});
