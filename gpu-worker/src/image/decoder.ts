/**
 * Program of a process that decodes images, so that a decoder which runs for ever, takes all memory or crashes can be ended alone. It knows
 * nothing but the images it is sent, and ends with the worker, however that ends.
 */
import { writeFileSync } from 'node:fs';
import { ApiError } from '@blip2/shared/errors';
import sharp from 'sharp';
import { openImage } from './decode.ts';
import type { DecodeReply, DecodeTask, FromDecoder } from './decode-protocol.ts';
import { decodeSquare } from './preprocess.ts';

/** Memory of images so large is freed after each, not when the heap is collected some day. */
const COLLECTED_BYTES = 2 ** 24;

async function decode(task: DecodeTask): Promise<{ reply: DecodeReply; memory: number }> {
  let memory = task.bytes.byteLength;
  try {
    const opened = await openImage(task.bytes, task.limits);
    if (opened.memory > task.allowance) {
      return { reply: { type: 'heavy', memory: opened.memory }, memory };
    }
    memory += opened.memory;
    const rgb = await decodeSquare(opened.pixels, task.spec);
    return { reply: { type: 'done', info: opened.info, rgb }, memory };
  } catch (thrown) {
    return { reply: failure(thrown), memory };
  }
}

function failure(thrown: unknown): DecodeReply {
  if (!(thrown instanceof ApiError)) return { type: 'failed', error: describe(thrown) };
  const { cause } = thrown;
  const problem = thrown.toProblem();
  return { type: 'problem', problem, cause: cause === undefined ? undefined : describe(cause) };
}

const describe = (thrown: unknown) =>
  thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);

const send = (message: FromDecoder) => process.send?.(message);

// The images of a worker differ from each other, and each process decodes one at a time.
sharp.cache(false);
sharp.concurrency(1);

try {
  // Where memory runs out, this process is ended and not the worker.
  writeFileSync('/proc/self/oom_score_adj', '1000');
} catch {}

// Ctrl-C reaches every process of a terminal; the worker finishes what it has, and ends this one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// An ordinary exit would wait for what native threads are doing.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', async (task: DecodeTask) => {
  const { reply, memory } = await decode(task);
  send(reply);
  if (memory > COLLECTED_BYTES) setImmediate(() => gc?.());
});
send({ type: 'ready' });
