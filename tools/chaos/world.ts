/** The service under one scenario: supervised as `npm start` does, asked all the time, measured afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childOf } from '../child-processes.ts';
import { type Stack, type StackOptions, startStack } from '../local-stack.ts';
import { CALLS } from './calls.ts';
import { type KnownScene, knownScenes } from './known.ts';
import type { Random } from './random.ts';
import { ToxicProxy } from './toxics.ts';
import { Traffic } from './traffic.ts';

/** How long the service may take to be well again. */
const RECOVERY_MS = 90_000;
/** How long the worker may take to notice that its callers have gone. */
const SETTLE_MS = 15_000;
const GAUGES = /^blip2_num_requests_(?:admitted|waiting|running)\{[^}]*\} (\S+)$/gm;
const HOOKS = new URL('worker-hooks.ts', import.meta.url).href;

/** The same model gives the same answers in every world. */
let known: KnownScene[] | undefined;

export class World {
  readonly stack: Stack;
  /** Between edge and each GPU worker. */
  readonly links: readonly ToxicProxy[];
  /** Between callers and edge. */
  readonly front: ToxicProxy;
  readonly scenes: readonly KnownScene[];
  readonly random: Random;
  /** Of the edge's local storage. */
  readonly folder: string;
  readonly traffic: Traffic;
  /** When the last fault began, or ended where the scenario ends it. */
  faultAt = 0;

  private constructor(
    parts: Pick<World, 'stack' | 'links' | 'front' | 'scenes' | 'random' | 'folder'>,
  ) {
    this.stack = parts.stack;
    this.links = parts.links;
    this.front = parts.front;
    this.scenes = parts.scenes;
    this.random = parts.random;
    this.folder = parts.folder;
    this.traffic = new Traffic({ url: this.front.url, scenes: parts.scenes, random: parts.random });
  }

  /** @param folder where the edge stores; one of its own by default */
  static async open(
    random: Random,
    options: StackOptions & { folder?: string; onEvent: (line: string) => void },
  ): Promise<World> {
    const { folder = await mkdtemp(join(tmpdir(), 'chaos-')), ...others } = options;
    const links: ToxicProxy[] = [];
    const stack = await startStack({
      ...others,
      persist: folder,
      through: async (url) => {
        const link = await ToxicProxy.start(url);
        links.push(link);
        return link.url;
      },
      logLevel: 'none',
      workerEnv: {
        BLIP2_LOG_LEVEL: 'silent',
        BLIP2_HANG_SECONDS: '5',
        NODE_OPTIONS: `--import ${HOOKS}`,
        ...options.workerEnv,
      },
    });
    const front = await ToxicProxy.start(stack.url);
    known ??= await knownScenes(stack.url);
    const world = new World({ stack, links, front, scenes: known, random, folder });
    // Known by their hashes from now on.
    for (const scene of known) {
      const stored = await world.#store(scene);
      if (!stored.ok) throw new Error(await stored.text());
      await stored.body?.cancel();
    }
    return world;
  }

  #store({ png }: KnownScene): Promise<Response> {
    const headers = { 'content-type': 'image/png' };
    const body = new Uint8Array(png);
    return fetch(`${this.stack.url}/v1/embeddings`, { method: 'POST', headers, body });
  }

  /** The way to the first GPU worker. */
  get link(): ToxicProxy {
    return this.links[0] as ToxicProxy;
  }

  get worker(): number {
    return this.stack.worker.pid ?? 0;
  }

  /** Process id of workerd. */
  async edge(): Promise<number> {
    for (;;) {
      const pid = await childOf(process.pid, 'workerd\0serve');
      if (pid !== 0) return pid;
      await delay(10);
    }
  }

  /** To be called when a fault begins, or ends where the scenario ends it. */
  faulted(): void {
    this.faultAt = performance.now();
  }

  /**
   * Seconds from the fault until an upload, a question and a look-up are answered rightly; null where they never are. An image that is not
   * known any more is sent again, as the reply says.
   */
  async recovered(): Promise<number | null> {
    const [scene] = this.scenes as [KnownScene];
    while (performance.now() < this.faultAt + RECOVERY_MS) {
      const outcomes = await Promise.all(
        [CALLS.caption, CALLS.question, CALLS.lookup].map((call) =>
          call(this.front.url, scene, this.random),
        ),
      );
      if (outcomes.every(({ label, isWrong }) => label === '200' && !isWrong)) {
        return (performance.now() - this.faultAt) / 1000;
      }
      if (outcomes.some(({ label }) => label === '404 unknown-image')) {
        const stored = await this.#store(scene).catch(() => null);
        await stored?.body?.cancel();
      }
      await delay(100);
    }
    return null;
  }

  /** Requests that GPU workers still hold when nobody asks any more. */
  async stuck(): Promise<number> {
    const until = performance.now() + SETTLE_MS;
    for (;;) {
      const held = await Promise.all(this.stack.workers.map(({ url }) => heldBy(url)));
      const sum = held.reduce((a, b) => a + b, 0);
      if (sum === 0 || performance.now() > until) return sum;
      await delay(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.front[Symbol.asyncDispose]();
    await this.stack.stop();
    await Promise.all(this.links.map((link) => link[Symbol.asyncDispose]()));
    await rm(this.folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** Requests that a GPU worker holds, by its metrics; without these, it may hold any number. */
async function heldBy(worker: string): Promise<number> {
  const text = await fetch(`${worker}/metrics`).then(
    (response) => response.text(),
    () => '',
  );
  const held = [...text.matchAll(GAUGES)].map(([, value]) => Number(value));
  return held.length === 0 ? Number.POSITIVE_INFINITY : held.reduce((a, b) => a + b, 0);
}
