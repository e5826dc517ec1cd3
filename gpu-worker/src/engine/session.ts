/** Opens a graph of a bundle. */
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import type { EngineOptions } from './messages.ts';

/** Sessions that spin in turn on the same cores slow each other down: only the decoder may. */
export type Spinning = 'spins' | 'quiet';

/** Where a bundle's graphs lie and what runs them. */
export type SessionPlace = Pick<EngineOptions, 'bundle' | 'executionProvider' | 'threads'>;

/** @throws Error that names the execution provider when it cannot be loaded */
export async function openGraph(
  { bundle, executionProvider, threads }: SessionPlace,
  graph: string,
  spinning: Spinning,
): Promise<InferenceSession> {
  const quiet = { session: { intra_op: { allow_spinning: '0' } } };
  try {
    return await InferenceSession.create(join(bundle, `${graph}.onnx`), {
      executionProviders: [executionProvider],
      intraOpNumThreads: threads,
      ...(spinning === 'quiet' ? { extra: quiet } : {}),
    });
  } catch (cause) {
    throw new Error(
      `The execution provider "${executionProvider}" could not load the model. ` +
        'Set BLIP2_EXECUTION_PROVIDER=cpu, which always works.',
      { cause },
    );
  }
}
