/** The engine of a simulated worker: what it does next is decided by the real one's scheduler, and takes as long as was measured. */
import {
  compareTickets,
  FairQueue,
  type Ticket,
} from '@blip2/gpu-worker/engine/scheduling/fair-queue';
import {
  type Action,
  type History,
  historyAfter,
  NO_HISTORY,
  nextAction,
} from '@blip2/gpu-worker/engine/scheduling/scheduler';
import type { Pool, SlotLimits } from '@blip2/gpu-worker/engine/scheduling/slot-share';
import type { Random } from '../load/random.ts';
import { LruCache } from './lru-cache.ts';
import type { Thread } from './machine.ts';
import { draw, drawByRows, type ServiceTimes } from './service-times.ts';

export type EngineSettings = SlotLimits & {
  /** Images whose positions the prefix cache has room for. */
  prefixImages: number;
};

/** A request as the engine sees it. */
export type EngineJob = {
  image: number;
  client: string;
  /** Whether it came with an image, and not with embeddings. */
  isNew: boolean;
  tokens: number;
  /** Its embeddings are there. */
  onEncoded: () => void;
  /** @param isLast of the request */
  onToken: (isLast: boolean) => void;
};

/** One sequence each. */
type Group = {
  readonly job: EngineJob;
  readonly ticket: Ticket;
  readonly client: string;
  readonly slots: 1;
  readonly isBackground: false;
  readonly kv: { slots: 1; promptIds: number; maxTokens: number };
  chunkPositions: number;
  readonly chunkText: number;
  pool: Pool;
  left: number;
};

export class SimulatedEngine {
  /** Images that were encoded. */
  encodes = 0;
  /** Prompts whose image positions were cached, and others. */
  prefixes = { hits: 0, misses: 0 };
  readonly #thread: Thread;
  readonly #times: ServiceTimes['engine'];
  readonly #settings: EngineSettings;
  readonly #random: Random;
  readonly #now: () => number;
  readonly #queue = new FairQueue();
  readonly #prefix: LruCache;
  #images: Group[] = [];
  #waiting: Group[] = [];
  #running: Group[] = [];
  #history: History = NO_HISTORY;
  #isBusy = false;

  constructor(
    thread: Thread,
    times: ServiceTimes['engine'],
    settings: EngineSettings,
    { random, now }: { random: Random; now: () => number },
  ) {
    this.#thread = thread;
    this.#times = times;
    this.#settings = settings;
    this.#random = random;
    this.#now = now;
    this.#prefix = new LruCache(settings.prefixImages);
  }

  submit(job: EngineJob): void {
    const { client, tokens } = job;
    const ticket = this.#queue.join({ client, priority: 'interactive' }, 1);
    const group: Group = {
      job,
      ticket,
      client,
      slots: 1,
      isBackground: false,
      kv: { slots: 1, promptIds: this.#times.knownPositions, maxTokens: tokens },
      chunkPositions: this.#times.newPositions,
      chunkText: this.#times.knownPositions,
      pool: 'common',
      left: tokens,
    };
    const line = job.isNew ? this.#images : this.#waiting;
    line.push(group);
    line.sort(byTicket);
    if (!this.#isBusy) this.#advance();
  }

  #advance(): void {
    const action = this.#next();
    this.#isBusy = action.kind !== 'wait' && action.kind !== 'rest';
    switch (action.kind) {
      case 'images':
        this.#encode();
        break;
      case 'prefill':
        this.#prefill(action);
        break;
      case 'step':
        this.#run(drawByRows(this.#times.step, this.#running.length, this.#random), this.#running);
        break;
    }
  }

  #next(): Action {
    for (const group of this.#waiting) {
      const { knownPositions, newPositions } = this.#times;
      group.chunkPositions = this.#prefix.peek(group.job.image) ? knownPositions : newPositions;
    }
    const action = nextAction(
      {
        ...this.#settings,
        hasUrgentImage: this.#images.length > 0,
        hasBackgroundImage: false,
        waitingGroups: this.#waiting,
        heldGroups: this.#running,
        hasUrgentPrefill: false,
        hasBackgroundPrefill: false,
        running: this.#running.length,
        isRunningUrgent: this.#running.length > 0,
        isBackgroundDue: true,
        isBackgroundOverdue: false,
      },
      this.#history,
    );
    this.#history = historyAfter(action, this.#history);
    return action;
  }

  /** One image for all who wait for it. */
  #encode(): void {
    const { image } = this.#images[0]!.job;
    const same = this.#images.filter(({ job }) => job.image === image);
    this.#images = this.#images.filter(({ job }) => job.image !== image);
    for (const { ticket } of same) this.#queue.prepare(ticket);
    this.encodes += 1;
    this.#thread.run(draw(this.#times.encode, this.#random), () => {
      for (const { job } of same) job.onEncoded();
      this.#waiting.push(...same);
      this.#waiting.sort(byTicket);
      this.#advance();
    });
  }

  #prefill({ groups }: Extract<Action, { kind: 'prefill' }>): void {
    const begun = groups.map(({ index, pool }) => {
      const group = this.#waiting[index]!;
      group.pool = pool;
      this.#queue.begin(group.ticket);
      return group;
    });
    this.#waiting = this.#waiting.filter((group) => !begun.includes(group));
    this.#running.push(...begun);
    const now = this.#now();
    const known = begun.filter(({ job }) => this.#prefix.has(job.image, now));
    for (const { job } of begun) this.#prefix.put(job.image, now);
    this.prefixes.hits += known.length;
    this.prefixes.misses += begun.length - known.length;
    let ms =
      known.length === 0 ? 0 : drawByRows(this.#times.prefillKnown, known.length, this.#random);
    for (let i = known.length; i < begun.length; i++)
      ms += draw(this.#times.prefillNew, this.#random);
    this.#run(ms, begun);
  }

  /** A pass, with a token for each of these. */
  #run(ms: number, groups: readonly Group[]): void {
    const rows = [...groups];
    this.#thread.run(ms, () => {
      for (const group of rows) {
        group.left -= 1;
        group.job.onToken(group.left === 0);
      }
      this.#running = this.#running.filter(({ left }) => left > 0);
      this.#advance();
    });
  }
}

const byTicket = (a: Group, b: Group) => compareTickets(a.ticket, b.ticket);
