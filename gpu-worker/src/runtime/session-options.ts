/** What runs a graph: the execution provider, and how many threads of the CPU. */

/** As onnxruntime-node names them. */
export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda';

export type SessionOptions = {
  executionProvider: ExecutionProvider;
  /** Threads of one run on the CPU. */
  threads: number;
};
