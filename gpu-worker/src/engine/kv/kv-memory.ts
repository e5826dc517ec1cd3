/** A decoder's memory for keys and values: on the device where the provider keeps tensors there, else in JavaScript's. */

import { DeviceTensors } from '../../runtime/device-tensors.ts';
import { supportsDeviceTensors } from '../../runtime/session.ts';
import type { EngineOptions } from '../protocol.ts';
import { DeviceKvCache } from './device-kv-cache.ts';
import { KvCache } from './host-kv-cache.ts';
import type { KvShape, KvStore } from './kv-cache.ts';
import { KvGraphs } from './kv-kernels.ts';

export class KvMemory {
  readonly #shape: KvShape;
  readonly #graphs: KvGraphs | null;
  readonly #tensors = new DeviceTensors();

  /** @param graphs where the memory is the device's */
  constructor(shape: KvShape, graphs: KvGraphs | null) {
    this.#shape = shape;
    this.#graphs = graphs;
  }

  store(): KvStore {
    if (this.#graphs === null) return new KvCache(this.#shape);
    return new DeviceKvCache(this.#shape, this.#graphs, this.#tensors);
  }

  /** Tensors that are held on the device. */
  get deviceTensors(): number {
    return this.#tensors.count;
  }

  async release(): Promise<void> {
    await this.#graphs?.release();
  }
}

export async function openKvMemory({
  executionProvider,
  manifest,
}: EngineOptions): Promise<KvMemory> {
  const { layers, heads, head_dim: headDim, max_positions: maxPositions } = manifest.decoder;
  const shape = { layers, heads, headDim, maxPositions };
  const onDevice = supportsDeviceTensors(executionProvider);
  return new KvMemory(shape, onDevice ? await KvGraphs.open(executionProvider, shape) : null);
}
