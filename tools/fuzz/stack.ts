/** The whole service for targets that need it: what it is asked for, and whether it is as it was before. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Stack, type StackOptions, startStack } from '../local-stack.ts';
import { readImage, readScenes } from '../scenes.ts';
import { expectMemory, memoryOf } from './memory.ts';
import { Violation } from './violation.ts';

/** Longest time that the edge gives a request. Machines with other work to do are slow. */
export const DEADLINE_MS = 15_000;
/** An answer that comes later than this never comes. */
export const HANG_MS = 2 * DEADLINE_MS;

/** How long work that nobody waits for any more may go on. */
const REST_MS = DEADLINE_MS;

const IDLE = ['blip2_num_requests_running', 'blip2_num_requests_waiting'];

export type FuzzStack = AsyncDisposable & {
  stack: Stack;
  /** An image that is cached, and its bytes. */
  image: { bytes: Uint8Array<ArrayBuffer>; sha256: string };
  /** Expects afterwards that the service is as it is now. */
  watch: () => Promise<() => Promise<void>>;
};

/** @param more options of the stack that a target needs beside those that all have */
export async function startFuzzStack(
  isVerbose: boolean,
  { vars, workerEnv, ...more }: StackOptions = {},
): Promise<FuzzStack> {
  const stack = await startStack({
    jobs: true,
    ...more,
    vars: {
      REQUEST_DEADLINE_MS: String(DEADLINE_MS),
      CACHE_REPLIES_IN_KV: '1',
      ...vars,
    },
    logLevel: isVerbose ? 'error' : 'none',
    workerEnv: { ...(isVerbose ? {} : { BLIP2_LOG_LEVEL: 'silent' }), ...workerEnv },
  });
  const [scene] = await readScenes();
  if (scene === undefined) throw new Error('There are no test scenes.');
  const bytes = await readImage(scene);
  const first = await caption(stack, bytes);
  return {
    stack,
    image: { bytes, sha256: first.image.sha256 },
    watch: async () => {
      const memory = () => memoryOf(stack.worker.pid ?? 0, process.pid);
      const before = await memory();
      return async () => {
        await expectIdle(stack);
        const { caption: text } = await caption(stack, bytes);
        if (text !== first.caption) {
          throw new Violation(`the caption of an image is "${text}", and was "${first.caption}"`);
        }
        expectMemory(await memory(), before);
      };
    },
    [Symbol.asyncDispose]: () => stack.stop(),
  };
}

type Captioned = { caption: string; image: { sha256: string } };

async function caption({ url }: Stack, bytes: Uint8Array<ArrayBuffer>): Promise<Captioned> {
  const signal = AbortSignal.timeout(HANG_MS);
  const health = await fetch(`${url}/healthz`, { signal });
  if (!health.ok) throw new Violation(`the service is not healthy: ${await health.text()}`);
  // Made now: what is looked at is whether the GPU worker still says the same.
  const headers = { 'content-type': 'image/webp', 'cache-control': 'no-cache' };
  const reply = await fetch(`${url}/v1/captions`, { method: 'POST', headers, body: bytes, signal });
  if (!reply.ok) throw new Violation(`an ordinary request fails: ${await reply.text()}`);
  return (await reply.json()) as Captioned;
}

/** @throws Violation when places of the GPU worker are still taken though nobody waits for an answer */
async function expectIdle({ workerUrl }: Stack): Promise<void> {
  const deadline = Date.now() + REST_MS;
  for (;;) {
    const text = await (await fetch(`${workerUrl}/metrics`)).text();
    const busy = text
      .split('\n')
      .filter((line) => IDLE.some((name) => line.startsWith(name)) && !line.endsWith(' 0'));
    if (busy.length === 0) return;
    if (Date.now() > deadline) throw new Violation(`places are still taken: ${busy.join(', ')}`);
    await delay(100);
  }
}
