/** Two GPU workers that run items, each started again whenever it ends, whoever has ended it. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Stack } from '../local-stack.ts';
import { endWorker } from '../worker-process.ts';

type Post = { worker: ChildProcess; start: () => Promise<ChildProcess> };

export class Crew {
  /** How often one has ended. */
  deaths = 0;
  readonly #posts: Post[];
  readonly #keeping: Promise<unknown>;
  #isOver = false;

  private constructor(posts: Post[]) {
    this.#posts = posts;
    this.#keeping = Promise.all(posts.map((post) => this.#keep(post)));
  }

  /** @param stack whose own worker is one of them */
  static async start(stack: Stack): Promise<Crew> {
    const restart = async () => {
      await stack.restartWorker();
      return stack.worker;
    };
    return new Crew([
      { worker: stack.worker, start: restart },
      { worker: await stack.addWorker(), start: stack.addWorker },
    ]);
  }

  /** As a spot machine that is taken away: without a word. */
  kill(number: number): void {
    this.#posts[number % this.#posts.length]?.worker.kill('SIGKILL');
  }

  /** Drains both. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#posts.map(({ worker }) => endWorker(worker)));
    await this.#keeping;
    // One may have been started meanwhile.
    await Promise.all(this.#posts.map(({ worker }) => endWorker(worker)));
  }

  async #keep(post: Post): Promise<void> {
    for (;;) {
      const { worker } = post;
      if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
      if (this.#isOver) return;
      this.deaths++;
      // It may be ended again before it is ready.
      post.worker = await post.start().catch(() => worker);
    }
  }
}
