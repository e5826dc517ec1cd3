/** Makes the KV caches of a decoder: on the device where the provider leaves tensors there, else in memory. */
import { DeviceTensors } from '../../runtime/device-tensors.ts';
import { supportsDeviceTensors } from '../../runtime/session-options.ts';
import type { EngineOptions } from '../protocol.ts';
import { DeviceKvCache } from './device-kv-cache.ts';
import { HostKvCache } from './host-kv-cache.ts';
import type { KvCache, KvShape } from './kv-cache.ts';
import { KvKernels } from './kv-kernels.ts';

/** All caches that it makes have one shape, and share their kernels. */
export class KvAllocator {
  readonly #shape: KvShape;
  readonly #kernels: KvKernels | null;
  readonly #tensors = new DeviceTensors();

  /** @param kernels where the memory is the device's */
  constructor(shape: KvShape, kernels: KvKernels | null) {
    this.#shape = shape;
    this.#kernels = kernels;
  }

  /** Another cache of this shape. */
  create(): KvCache {
    if (this.#kernels === null) return new HostKvCache(this.#shape);
    return new DeviceKvCache(this.#shape, this.#kernels, this.#tensors);
  }

  /** Tensors that are held on the device. */
  get deviceTensors(): number {
    return this.#tensors.count;
  }

  async release(): Promise<void> {
    await this.#kernels?.release();
  }
}

/** @throws Error when the provider has no kernels for a cache on its device */
export async function openKvAllocator({
  executionProvider,
  manifest,
}: EngineOptions): Promise<KvAllocator> {
  const { layers, heads, head_dim: headDim, max_positions: maxPositions } = manifest.decoder;
  const shape = { layers, heads, headDim, maxPositions };
  const onDevice = supportsDeviceTensors(executionProvider);
  return new KvAllocator(shape, onDevice ? await KvKernels.open(executionProvider, shape) : null);
}
