/** The options of a session: its execution provider, and threads on the CPU. */

/** As onnxruntime-node names them. */
export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda';

export type SessionOptions = {
  executionProvider: ExecutionProvider;
  /** Threads of one run on the CPU. */
  threads: number;
};

/** Whether results can stay on the device and be read there by the next run. */
export function supportsDeviceTensors(provider: ExecutionProvider): boolean {
  return provider === 'webgpu';
}
