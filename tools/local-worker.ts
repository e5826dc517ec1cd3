/** A GPU worker of a local stack: the place of a process, which others take when it has ended. */

import type { ChildProcess } from 'node:child_process';
import { freePort } from '@blip2/gpu-worker/check-port';
import type { LogLevel } from './serve-worker.ts';
import { type Part, type Running, type Supervision, supervise } from './supervise.ts';
import { endWorker, launchWorker, runningWorker, untilReady } from './worker-process.ts';

const LOOPBACK = '127.0.0.1';
const VARIABLES = { host: 'BLIP2_WORKER_HOST', port: 'BLIP2_WORKER_PORT' };
const FIRST_START_MS = 600_000;

export class LocalWorker {
  /** Base URL, without a slash at its end. */
  readonly url: string;
  process: ChildProcess;
  readonly #launch: () => ChildProcess;
  readonly #launchedAt = performance.now();

  private constructor(url: string, launch: () => ChildProcess) {
    this.url = url;
    this.#launch = launch;
    this.process = launch();
  }

  /** Starts a process at a free port, and does not wait until it is ready. */
  static async launch(
    environment: Record<string, string>,
    logLevel: LogLevel,
  ): Promise<LocalWorker> {
    const port = await freePort({ host: LOOPBACK, port: 0 }, { variables: VARIABLES });
    const address = { [VARIABLES.host]: LOOPBACK, [VARIABLES.port]: String(port) };
    return new LocalWorker(`http://${LOOPBACK}:${port}`, () =>
      launchWorker({ ...environment, ...address }, logLevel),
    );
  }

  /** @returns seconds from the launch until it was ready @throws Error when it ends, or takes more than ten minutes */
  async ready(): Promise<number> {
    await untilReady(this.process, this.url, FIRST_START_MS);
    return (performance.now() - this.#launchedAt) / 1000;
  }

  /** Starts another process in place of one that has ended, and waits until it is ready. */
  async restart(): Promise<void> {
    this.process = this.#launch();
    await untilReady(this.process, this.url, FIRST_START_MS);
  }

  /** Drains it, and waits for its end. */
  async end(): Promise<void> {
    await endWorker(this.process);
  }

  /**
   * Keeps one running.
   * @param loadSeconds that it took to be ready
   */
  supervise(
    part: Pick<Part, 'name' | 'meanwhile' | 'patience'>,
    loadSeconds: number,
    report: (line: string) => void,
  ): Supervision {
    const start = async (signal: AbortSignal): Promise<Running> => {
      this.process = this.#launch();
      // Ten times as long as at first, and some: a machine in trouble is slow.
      await untilReady(this.process, this.url, 30_000 + loadSeconds * 10_000, signal);
      return runningWorker(this.process, this.url);
    };
    return supervise({ ...part, start }, runningWorker(this.process, this.url), { report });
  }
}
