/** Kernels of a device with little memory: those that make planes throw where they would be too large. */
import type { Tensor } from 'onnxruntime-node';
import type { Capacity } from '../kv/kv-cache.ts';
import type { KvKernels } from '../kv/kv-kernels.ts';

/** @param most slots times positions */
export function limitedKernels(kernels: KvKernels, most: number): KvKernels {
  const expectRoom = ({ slots, positions }: Capacity) => {
    if (slots * positions > most) throw new Error(`no room for ${slots} x ${positions}`);
  };
  const positionsOf = ([plane]: readonly Tensor[]) => plane?.dims[2] ?? 0;
  const limited: Pick<KvKernels, 'zeros' | 'arrange' | 'lengthen'> = {
    zeros: async (capacity) => {
      expectRoom(capacity);
      return kernels.zeros(capacity);
    },
    arrange: async (planes, order) => {
      expectRoom({ slots: order.length, positions: positionsOf(planes) });
      return kernels.arrange(planes, order);
    },
    lengthen: async (planes, by) => {
      expectRoom({ slots: planes[0]?.dims[0] ?? 0, positions: positionsOf(planes) + by });
      return kernels.lengthen(planes, by);
    },
  };
  return new Proxy(kernels, {
    get: (target, name) => {
      if (name in limited) return limited[name as keyof typeof limited];
      const value = target[name as keyof KvKernels];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
