/** The device's cache has the contents of the host's: on the CPU's kernels, or BLIP2_EXECUTION_PROVIDER=webgpu. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Graph } from '../../onnx/graph.ts';
import { DeviceTensors } from '../../runtime/device-tensors.ts';
import { seededRandom } from '../decoding/sample-token.ts';
import { limitedKernels } from '../testing/limited-kernels.ts';
import { newRows } from '../testing/new-rows.ts';
import { DeviceKvCache } from './device-kv-cache.ts';
import { HostKvCache } from './host-kv-cache.ts';
import type { KvCache, SlotMapping } from './kv-cache.ts';
import { KvKernels } from './kv-kernels.ts';

const PROVIDER = process.env.BLIP2_EXECUTION_PROVIDER === 'webgpu' ? 'webgpu' : 'cpu';
const shape = { layers: 2, heads: 3, headDim: 8, maxPositions: 200 };
const planes = 2 * shape.layers;

let kernels: KvKernels;
let reader: InferenceSession;
beforeAll(async () => {
  kernels = await KvKernels.open(PROVIDER, shape);
  const graph = new Graph('read');
  const dims = ['a', 'b', 'c', 'd'];
  graph.output('y', graph.input('x', 'float32', dims), 'float32', dims);
  reader = await InferenceSession.create(graph.encode(), { executionProviders: [PROVIDER] });
});
afterAll(async () => {
  await kernels.release();
  await reader.release();
});

const freshOf = (rows: number, positions: number, from = 0) =>
  newRows(shape, rows, positions, from);

/** The first positions of a slot in every plane. */
async function read(cache: KvCache, slot: number, positions: number): Promise<number[][]> {
  const { keys, values } = await cache.feeds(slot, 1);
  const found: number[][] = [];
  for (const x of keys.flatMap((key, layer) => [key, values[layer]!])) {
    const { y } = await reader.run({ x });
    const [, heads = 0, capacity = 0, width = 0] = x.dims;
    const plane = y?.data as Float32Array;
    const row = (head: number) =>
      plane.subarray(head * capacity * width, (head * capacity + positions) * width);
    found.push(Array.from({ length: heads }, (_, head) => [...row(head)]).flat());
  }
  return found;
}

const lengthOf = (lengths: readonly number[]) => lengths.reduce((a, b) => a + b);

async function put(cache: KvCache, fresh: Tensor[], mappings: readonly SlotMapping[]) {
  using rows = cache.adopt(fresh);
  await cache.put(rows, mappings);
}

describe('the cache on the device', () => {
  it('has the contents of the one in memory, whatever is written, copied, grown and trimmed', async () => {
    const random = seededRandom(7);
    const upTo = (count: number) => Math.floor(random() * count);
    const tensors = new DeviceTensors();
    const device = new DeviceKvCache(shape, kernels, tensors);
    const host = new HostKvCache(shape);
    /** Positions of each slot that were written. */
    let past: number[] = [];
    for (let turn = 0; turn < 60; turn++) {
      const rows = 1 + upTo(3);
      const positions = 1 + upTo(4);
      const mappings = Array.from({ length: rows }, (_, row) => {
        const slot = turn % 3 === 0 ? past.length + row : row;
        const start = past[slot] ?? 0;
        return { row, slot, start, length: upTo(4) === 0 ? 0 : positions };
      });
      const ends = mappings.map(({ start }) => start + positions);
      expect(Math.max(...ends)).toBeLessThanOrEqual(shape.maxPositions);
      for (const cache of [device, host]) {
        const slots = Math.max(...mappings.map(({ slot }) => slot)) + 1;
        cache.reserve({ slots, positions: Math.max(...ends) });
        await put(cache, freshOf(rows, positions, 1000 * turn), mappings);
      }
      for (const { slot, start, length } of mappings) past[slot] = start + length;
      for (let i = 0; i < upTo(4); i++) {
        const [from, to] = [upTo(past.length), upTo(past.length + 1)];
        const end = past[from] ?? 0;
        for (const cache of [device, host]) {
          cache.reserve({ slots: to + 1, positions: end });
          cache.copy(from, to, { start: 0, end });
        }
        if (end > 0 || to === past.length) past[to] = end;
      }
      if (past.length > 8) {
        past = past.slice(0, 3);
        for (const cache of [device, host]) cache.trim(4);
      }
      if (turn % 10 === 9) {
        for (const [slot, count] of past.entries()) {
          const expected = await read(host, slot, count);
          expect(await read(device, slot, count), `turn ${turn}, slot ${slot}`).toEqual(expected);
        }
      }
    }
    device.release();
    expect(tensors.count).toBe(0);
  });

  it('turns NaN and infinity into 0', async () => {
    const tensors = new DeviceTensors();
    const cache = new DeviceKvCache(shape, kernels, tensors);
    const fresh = freshOf(1, 1);
    (fresh[0]!.data as Float32Array).set([
      Number.NaN,
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      7,
    ]);
    await put(cache, fresh, [{ row: 0, slot: 0, start: 0, length: 1 }]);
    expect((await read(cache, 0, 1))[0]?.slice(0, 4)).toEqual([0, 0, 0, 7]);
    cache.release();
  });

  it('copies some positions of a row, for another slot', async () => {
    const tensors = new DeviceTensors();
    const device = new DeviceKvCache(shape, kernels, tensors);
    const host = new HostKvCache(shape);
    for (const cache of [device, host]) {
      using fresh = cache.adopt(freshOf(3, 6));
      using copy = await cache.slice(fresh, 1, { start: 1, end: 5 });
      await cache.put(copy, [{ row: 0, slot: 1, start: 3, length: 4 }]);
      expect(copy.byteLength).toBe(4 * planes * shape.heads * 4 * shape.headDim);
    }
    expect(await read(device, 1, 7)).toEqual(await read(host, 1, 7));
    device.release();
    expect(tensors.count).toBe(0);
  });

  it.each([[[4]], [[4, 1]], [[1, 3, 2]], [[2, 1, 1, 5, 3]]])(
    'has segments of %j positions one behind the other, as the one in memory, by one write',
    async (lengths) => {
      const tensors = new DeviceTensors();
      const device = new DeviceKvCache(shape, kernels, tensors);
      const host = new HostKvCache(shape);
      const write = vi.spyOn(kernels, 'write');
      for (const cache of [device, host]) {
        using held = new DisposableStack();
        const segments = lengths.map((length, i) => {
          return { values: held.use(cache.adopt(freshOf(1, 6, 1000 * i))), length };
        });
        await cache.putSegments(1, segments);
        const row = held.use(await cache.join(segments));
        await cache.put(row, [{ row: 0, slot: 0, start: 2, length: lengthOf(lengths) }]);
      }
      expect(write).toHaveBeenCalledTimes(2);
      write.mockRestore();
      for (const slot of [0, 1]) {
        const positions = 2 + lengthOf(lengths);
        expect(await read(device, slot, positions)).toEqual(await read(host, slot, positions));
      }
      device.release();
      expect(tensors.count).toBe(0);
    },
  );

  it('has one tensor for each plane, and none after it was reset from a larger size', async () => {
    const tensors = new DeviceTensors();
    const cache = new DeviceKvCache(shape, kernels, tensors);
    cache.reserve({ slots: 5, positions: 100 });
    await put(cache, freshOf(1, 2), [{ row: 0, slot: 4, start: 90, length: 2 }]);
    expect(tensors.count).toBe(planes);
    expect(cache.bytes).toBe(4 * planes * 5 * shape.heads * 128 * shape.headDim);
    cache.trim(2);
    await cache.feeds(0, 2);
    expect(tensors.count).toBe(planes);
    await cache.feeds(1, 1);
    expect(tensors.count).toBe(2 * planes);
    await cache.feeds(0, 2);
    expect(tensors.count).toBe(planes);
    cache.reset();
    expect(tensors.count).toBe(0);
    expect(cache.bytes).toBe(0);
  });

  it('names the rows that came to no finite numbers, as the one in memory does, and not for their padding', async () => {
    const fresh = freshOf(5, 4);
    const width = 2 * shape.heads * shape.headDim;
    const spoil = (layer: number, row: number, position: number, value: number) => {
      const { data } = fresh[layer]!;
      (data as Float32Array)[(row * 4 + position) * width + 7] = value;
    };
    spoil(0, 1, 3, Number.NaN);
    spoil(1, 2, 1, Number.POSITIVE_INFINITY);
    spoil(1, 3, 0, Number.NEGATIVE_INFINITY);
    spoil(0, 3, 2, Number.NaN);
    // Behind its length.
    spoil(0, 4, 2, Number.NaN);
    const lengths = [4, 4, 2, 3, 2];
    for (const cache of [
      new DeviceKvCache(shape, kernels, new DeviceTensors()),
      new HostKvCache(shape),
    ]) {
      using rows = cache.adopt(
        fresh.map(({ data, dims }) => {
          return new Tensor('float32', (data as Float32Array).slice(), dims);
        }),
      );
      expect(await cache.brokenRows(rows, lengths)).toEqual([1, 2, 3]);
    }
  });

  it('has what it had before where the device has no room to grow, and copies that were to be made', async () => {
    const tensors = new DeviceTensors();
    const cache = new DeviceKvCache(shape, limitedKernels(kernels, 4 * 64), tensors);
    const host = new HostKvCache(shape);
    for (const one of [cache, host]) {
      one.reserve({ slots: 4, positions: 64 });
      await put(
        one,
        freshOf(4, 2),
        [0, 1, 2, 3].map((slot) => ({ row: slot, slot, start: 0, length: 2 })),
      );
      one.copy(3, 1, { start: 0, end: 2 });
    }
    cache.reserve({ slots: 16, positions: 200 });
    await expect(cache.feeds(0, 16)).rejects.toThrow('no room');
    expect(cache.bytes).toBe(4 * planes * 4 * shape.heads * 64 * shape.headDim);
    for (let slot = 0; slot < 4; slot++) {
      expect(await read(cache, slot, 2), `slot ${slot}`).toEqual(await read(host, slot, 2));
    }
    // Positions alone.
    cache.reserve({ slots: 4, positions: 65 });
    await expect(cache.feeds(0, 4)).rejects.toThrow('no room');
    expect(await read(cache, 1, 2)).toEqual(await read(host, 1, 2));
    // A slot that was copied into is held: until it is given up, it has to fit.
    for (const one of [cache, host]) {
      one.reserve({ slots: 5, positions: 2 });
      one.copy(3, 4, { start: 0, end: 2 });
    }
    await expect(cache.feeds(0, 5)).rejects.toThrow('no room');
    for (const one of [cache, host]) {
      one.copy(4, 0, { start: 0, end: 2 });
      one.shrink({ slots: 4, positions: 64 });
    }
    for (let slot = 0; slot < 4; slot++) {
      expect(await read(cache, slot, 2), `slot ${slot}`).toEqual(await read(host, slot, 2));
    }
    cache.release();
    expect(tensors.count).toBe(0);
  });

  it('begins small where the device had no room for its first use', async () => {
    const cache = new DeviceKvCache(shape, limitedKernels(kernels, 4 * 64), new DeviceTensors());
    cache.reserve({ slots: 16, positions: 200 });
    await expect(cache.feeds(0, 16)).rejects.toThrow('no room');
    cache.reserve({ slots: 3, positions: 40 });
    await put(cache, freshOf(1, 2), [{ row: 0, slot: 2, start: 0, length: 2 }]);
    expect(cache.bytes).toBe(4 * planes * 3 * shape.heads * 64 * shape.headDim);
    cache.release();
  });

  it('is shrunk by what was reserved, never below the positions of its planes', async () => {
    const cache = new DeviceKvCache(shape, kernels, new DeviceTensors());
    await put(cache, freshOf(1, 2), [{ row: 0, slot: 0, start: 0, length: 2 }]);
    const before = await read(cache, 0, 2);
    cache.reserve({ slots: 9, positions: 190 });
    cache.shrink({ slots: 2, positions: 20 });
    expect(await read(cache, 0, 2)).toEqual(before);
    expect(cache.bytes).toBe(4 * planes * 2 * shape.heads * 64 * shape.headDim);
    cache.release();
  });

  it('refuses rows that do not fit', async () => {
    const cache = new DeviceKvCache(shape, kernels, new DeviceTensors());
    const mapping = { row: 0, slot: 0, start: 63, length: 2 };
    await expect(put(cache, freshOf(1, 2), [mapping])).rejects.toThrow('no room for 2 positions');
    cache.release();
  });
});
