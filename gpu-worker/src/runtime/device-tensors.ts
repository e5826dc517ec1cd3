/** Counts tensors on a device, which no garbage collector frees: each is held once and freed once. */
import type { Tensor } from 'onnxruntime-node';

export class DeviceTensors {
  readonly #live = new Set<Tensor>();

  get count(): number {
    return this.#live.size;
  }

  hold(tensor: Tensor): Tensor {
    this.#live.add(tensor);
    return tensor;
  }

  /** @throws Error when it is not held */
  free(tensor: Tensor): void {
    if (!this.#live.delete(tensor)) throw new Error('a tensor is freed that is not held');
    tensor.dispose();
  }
}
