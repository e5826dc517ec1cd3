/** Which execution provider the tests of the engine run on: BLIP2_EXECUTION_PROVIDER, or cpu. */
import type { ExecutionProvider } from '@blip2/gpu-worker/runtime/session-options';

export const PROVIDER = (process.env.BLIP2_EXECUTION_PROVIDER || 'cpu') as ExecutionProvider;
