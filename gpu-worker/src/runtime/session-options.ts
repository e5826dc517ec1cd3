/** The options of a session: its execution provider, and threads on the CPU. */

/** As onnxruntime-node names them. */
export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda';

export type SessionOptions = {
  executionProvider: ExecutionProvider;
  /** Threads of one run on the CPU. */
  threads: number;
};
