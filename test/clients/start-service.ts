/** Before the tests of clients: one whole service on the embedded model, for all of their files. */
import type { TestProject } from 'vitest/node';
import { startStack } from '../../tools/local-stack.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Base URLs of the edge and of the GPU worker, without a trailing slash. */
    edgeUrl: string;
    workerUrl: string;
  }
}

/** Half of the places, of which one client may have half again: tests fill them. */
const QUEUE_LIMIT = 8;

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const stack = await startStack({
    workerEnv: { BLIP2_QUEUE_LIMIT: String(QUEUE_LIMIT) },
    // What one test has asked must not be a replay to another, which takes no place.
    vars: { REPLY_TTL_HOURS: '0' },
  });
  provide('edgeUrl', stack.url);
  provide('workerUrl', stack.workerUrl);
  return stack.stop;
}
