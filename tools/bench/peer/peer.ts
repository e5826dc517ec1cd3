/** The client of `transformers` in its own process (peer.py), one request at a time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

const REPLIES = {
  encode: z.object({ ms: z.number() }),
  generate: z.object({ arrivals: z.array(z.number()) }),
  limits: z.object({
    gigabytes_per_second: z.number(),
    fp32_teraops: z.number(),
    bf16_teraops: z.number(),
    int8_teraops: z.number(),
  }),
  memory: z.object({ gigabytes: z.number() }),
};
type Op = keyof typeof REPLIES;
export type Limits = z.infer<(typeof REPLIES)['limits']>;

export class Peer {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: ChildProcess, lines: Interface) {
    this.#process = process;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /**
   * Loads the checkpoint in bf16.
   * @param python interpreter that has torch and transformers
   * @throws Error when it has not, with what it printed above
   */
  static async start(python: string, checkpoint: string, threads: number): Promise<Peer> {
    const script = fileURLToPath(new URL('peer.py', import.meta.url));
    const child = spawn(python, [script, checkpoint, String(threads)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.on('error', () => {});
    const peer = new Peer(child, createInterface({ input: child.stdout }));
    await peer.#answer();
    return peer;
  }

  async ask<O extends Op>(op: O, options: object = {}): Promise<z.infer<(typeof REPLIES)[O]>> {
    this.#process.stdin?.write(`${JSON.stringify({ op, ...options })}\n`);
    return REPLIES[op].parse(await this.#answer()) as z.infer<(typeof REPLIES)[O]>;
  }

  stop(): void {
    this.#process.stdin?.end();
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value);
    throw new Error(
      'The peer ended; its message is above. It needs a Python with torch and transformers: ' +
        'training/check.sh --install, then PYTHON=.venv-training/bin/python npm run bench -- --peer',
    );
  }
}
