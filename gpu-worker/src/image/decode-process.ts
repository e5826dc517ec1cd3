/** A process that decodes images one by one, until it ends or is ended: at a deadline, at a limit of memory, at a standstill, or when nobody wants its image. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { endsWithParent } from '../ends-with-parent.ts';
import type { DecodeReply, DecodeTask } from './decode-protocol.ts';
import { ActivityMeter, isStopped, memoryOf, processorMsOf } from './process-usage.ts';

/**
 * Why a process ended. `crash`: the decoder did it itself; `outside`: somebody else killed or stopped it, such as a system that is out of memory;
 * `stuck`: it had something to do and did nothing; `retired`: the worker stops.
 */
export type Ending = 'deadline' | 'memory' | 'canceled' | 'crash' | 'outside' | 'stuck' | 'retired';

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
 * How long one that has an image may do nothing at all. It is counted in looks: where this process stands still, its replies have arrived
 * by the second one.
 */
const STUCK_MS = 3000;
/** The same for one that starts: some file systems keep a program waiting. */
const STUCK_START_MS = 10_000;
/**
 * Where the machine is busy, an image has longer than its processor time, by so much. It is enough for one that waits in place of computing to be
 * noticed.
 */
const PATIENCE = 3;
/** Signals by which a program's own fault ends it. */
const FAULTS: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGSEGV',
  'SIGSYS',
  'SIGTRAP',
]);
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
      this.#ending ??= endingBy(signal);
      ended.resolve(this.#ending);
      const words = this.#stderr === '' ? '' : `: ${this.#stderr}`;
      this.#reply?.reject(new DecoderEnded(this.#ending, `${signal ?? code}${words}`));
    });
  }

  /**
   * Starts one and waits until it is ready.
   * @param program its module
   * @throws Error with what the process wrote when it ends before; DecoderEnded where that was not its own doing
   */
  static async start(program: URL, signal: AbortSignal): Promise<DecodeProcess> {
    // A worker that is killed cannot end it, and one that is stopped does not see that the worker is gone.
    const [execPath, execArgv] = endsWithParent(process.execPath, ['--expose-gc', '--no-warnings']);
    const child = fork(program, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execPath,
      execArgv,
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
    let ending: Ending | undefined;
    child.once('exit', (code, by) => {
      ending ??= endingBy(by);
      failed.reject(
        ending === 'crash'
          ? new Error(`the process that decodes images ended (${by ?? code}): ${stderr}`)
          : new DecoderEnded(ending, `${by ?? code}: ${stderr}`),
      );
    });
    failed.promise.catch(() => {});
    const kill = (why: Ending) => {
      ending ??= why;
      child.kill('SIGKILL');
    };
    const timeout = setTimeout(() => kill('crash'), START_MS);
    const watch = watchStandstill(child.pid ?? 0, STUCK_START_MS, () => kill('stuck'));
    try {
      await Promise.race([once(child, 'message'), failed.promise]);
    } finally {
      clearTimeout(timeout);
      clearInterval(watch);
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

  /** Whether somebody has stopped it, so that it would leave an image lying. */
  get isStopped(): boolean {
    return isStopped(this.#pid);
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
    const standstill = watchStandstill(this.#pid, STUCK_MS, () => this.kill('stuck'));
    this.expire(begun === null ? bounds.ms : PATIENCE * bounds.ms, 'deadline');
    const reply = Promise.withResolvers<DecodeReply>();
    this.#reply = reply;
    try {
      // Fails only where the process has ended.
      this.#child.send(task, () => {});
      return await reply.promise;
    } finally {
      clearInterval(watch);
      clearInterval(standstill);
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

function endingBy(signal: NodeJS.Signals | null): 'crash' | 'outside' {
  return signal === null || FAULTS.has(signal) ? 'crash' : 'outside';
}

/** Calls back once a process has done nothing for so long. One that waits for its turn on a busy machine is not meant. */
function watchStandstill(pid: number, ms: number, act: () => void): NodeJS.Timeout {
  const meter = new ActivityMeter();
  let looks = 0;
  return setInterval(() => {
    looks = meter.read(pid) === 'nothing' ? looks + 1 : 0;
    if (looks >= ms / WATCH_MS) act();
  }, WATCH_MS);
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
