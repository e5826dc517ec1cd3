/** A process that decodes images one by one, until it ends or is ended: at a deadline, at a limit of memory, or when nobody wants its image. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { DecodeReply, DecodeTask } from './decode-protocol.ts';
import { memoryOf, processorMsOf } from './process-usage.ts';

/**
 * Why a process ended. `crash`: the decoder did it itself; `outside`: somebody else killed it, such as a system that is out of memory;
 * `retired`: the worker stops.
 */
export type Ending = 'deadline' | 'memory' | 'canceled' | 'crash' | 'outside' | 'retired';

/** The process ended before it replied. */
export class DecoderEnded extends Error {
  override name = 'DecoderEnded';
  readonly ending: Ending;

  constructor(ending: Ending, detail: string) {
    super(`the process that decodes images ended: ${ending} (${detail})`);
    this.ending = ending;
  }
}

/** How long it may take to be ready, on a machine that is very busy. */
const START_MS = 60_000;
/** How often what it uses is looked at. */
const WATCH_MS = 50;
/**
 * Where the machine is busy, an image has longer than its processor time, by so much. It is enough for one that waits in place of computing to be
 * noticed.
 */
const PATIENCE = 3;
/** Its last words, for logs. */
const STDERR_CHARACTERS = 2000;

export class DecodeProcess {
  readonly #child: ChildProcess;
  readonly #restingBytes: number;
  /** Settles when it has ended, with the reason. */
  readonly ended: Promise<Ending>;
  #ending: Ending | undefined;
  #stderr = '';
  #deadline: NodeJS.Timeout | undefined;
  /** Of the image that it decodes. */
  #reply: PromiseWithResolvers<DecodeReply> | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#restingBytes = memoryOf(this.#pid) ?? 0;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
    child.on('error', () => {});
    child.on('message', (message) => this.#reply?.resolve(message as DecodeReply));
    const ended = Promise.withResolvers<Ending>();
    this.ended = ended.promise;
    child.once('exit', (code, signal) => {
      this.#ending ??= signal === 'SIGKILL' ? 'outside' : 'crash';
      ended.resolve(this.#ending);
      const words = this.#stderr === '' ? '' : `: ${this.#stderr}`;
      this.#reply?.reject(new DecoderEnded(this.#ending, `${signal ?? code}${words}`));
    });
  }

  /**
   * Starts one and waits until it is ready.
   * @param program its module
   * @throws Error with what the process wrote when it ends before
   */
  static async start(program: URL, signal: AbortSignal): Promise<DecodeProcess> {
    const child = fork(program, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--expose-gc', '--no-warnings'],
      env: environment(),
      signal,
      killSignal: 'SIGKILL',
    });
    let stderr = '';
    const collect = (text: Buffer) => {
      stderr = (stderr + text.toString()).slice(-STDERR_CHARACTERS);
    };
    child.stderr?.on('data', collect);
    const failed = Promise.withResolvers<never>();
    child.once('error', failed.reject);
    child.once('exit', (code, by) =>
      failed.reject(new Error(`the process that decodes images ended (${by ?? code}): ${stderr}`)),
    );
    failed.promise.catch(() => {});
    const timeout = setTimeout(() => child.kill('SIGKILL'), START_MS);
    try {
      await Promise.race([once(child, 'message'), failed.promise]);
    } finally {
      clearTimeout(timeout);
    }
    child.stderr?.off('data', collect);
    return new DecodeProcess(child);
  }

  get #pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Whether it can decode no more. */
  get isEnding(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * Has one image decoded.
   * @param bounds milliseconds of processor time, and bytes of memory beyond what it holds at rest, after which it is killed
   * @throws DecoderEnded
   */
  async run(task: DecodeTask, bounds: { ms: number; bytes: number }): Promise<DecodeReply> {
    const begun = processorMsOf(this.#pid);
    const watch = setInterval(() => {
      if ((memoryOf(this.#pid) ?? 0) > this.#restingBytes + bounds.bytes) this.kill('memory');
      if (begun !== null && (processorMsOf(this.#pid) ?? 0) > begun + bounds.ms) {
        this.kill('deadline');
      }
    }, WATCH_MS);
    this.expire(begun === null ? bounds.ms : PATIENCE * bounds.ms, 'deadline');
    const reply = Promise.withResolvers<DecodeReply>();
    this.#reply = reply;
    try {
      // Fails only where the process has ended.
      this.#child.send(task, () => {});
      return await reply.promise;
    } finally {
      clearInterval(watch);
      clearTimeout(this.#deadline);
      this.#reply = undefined;
    }
  }

  /** Kills it after so many milliseconds, unless it has replied by then. */
  expire(ms: number, ending: Ending): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.kill(ending), ms);
  }

  kill(ending: Ending): void {
    this.#ending ??= ending;
    this.#child.kill('SIGKILL');
  }
}

/** Nothing secret: what sees bytes from outside needs to find its libraries, and no more. */
function environment(): Record<string, string> {
  const needed = /^(PATH|HOME|TMPDIR|TEMP|TMP|SystemRoot|LANG|LC_\w+|LD_\w+|DYLD_\w+)$/;
  const inherited = Object.entries(process.env).filter(([name]) => needed.test(name));
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    UV_THREADPOOL_SIZE: '2',
    // What is large is returned to the system when it is freed.
    GLIBC_TUNABLES: 'glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=1048576',
  };
}
