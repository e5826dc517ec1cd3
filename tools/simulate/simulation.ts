/** One simulation: requests come when they come, edge and workers serve them, workers come and go; what became of it all. */
import { Latencies } from '../load/latencies.ts';
import { type Random, seededRandom } from '../load/random.ts';
import { type ScalingRules, wanted } from './autoscaler.ts';
import { EdgeCache } from './edge-cache.ts';
import { EventQueue } from './event-queue.ts';
import { Fleet } from './fleet.ts';
import { type Cores, Machine, type Thread } from './machine.ts';
import { type Around, draw, type ServiceTimes } from './service-times.ts';
import { SimulatedWorker, type WorkerSettings } from './worker.ts';

export type Arrival = { dueAt: number; image: number; tokens: number };

export type Scenario = {
  seed: number;
  /** In order. */
  arrivals: Iterable<Arrival>;
  times: ServiceTimes;
  worker: WorkerSettings;
  /** Workers at the beginning. */
  workers: number;
  /** Addresses that the edge knows: of workers, or of balancers with several behind them. */
  urls: readonly string[];
  /** Isolates of the edge. */
  isolates?: number;
  /** What the edge routes an image by. */
  keyOf?: (image: number) => string;
  /** Whom a request is from: everybody asks once by default. */
  clientOf?: (arrival: Arrival) => string;
  edgeCache: { room: number; ttlMs?: number };
  /** Images that are cached at the beginning. */
  cached?: Iterable<number>;
  /** Cores that all share, the callers included; without it everybody has a machine. */
  cores?: Cores;
  /** Latencies of what is due before are not counted, ms. */
  warmUpMs?: number;
  /** When the simulation ends, ms; where nothing is under way by default. */
  endMs?: number;
  scaling?: ScalingRules;
  /** Mean life of a worker, ms: its time ends at random, with all that it has. */
  spotLifeMs?: number;
  /** From the loss of a worker until another one takes its place, ms. */
  replaceMs?: number;
  onReply?: (reply: Reply) => void;
  onFleet?: (at: number, ready: number) => void;
};

/** Milliseconds since the beginning. */
type Reply = { dueAt: number; firstAt: number; endAt: number };

export type Outcome = {
  arrivals: number;
  replies: number;
  refused: number;
  /** Ended by the loss of a worker. */
  lost: number;
  /** Sent again after the loss of a worker, to another one. */
  retried: number;
  /** Begun, and not ended. */
  inSystem: number;
  encodes: number;
  prefixes: { hits: number; misses: number };
  firstToken: Latencies;
  reply: Latencies;
  /** Requests in the system, times milliseconds. */
  presence: number;
  /** Workers, times milliseconds: from their launch on. */
  workerMs: number;
  /** When the last event was. */
  endedAt: number;
};

/** Runs it to its end. The same scenario has the same outcome. */
export function simulate(scenario: Scenario): Outcome {
  return new Simulation(scenario).run();
}

type Open = {
  arrival: Arrival;
  firstAt: number | null;
  retries: number;
  /** How long it is on its way, of what is typical. */
  spread: number;
};

class Simulation {
  readonly #scenario: Scenario;
  readonly #events = new EventQueue();
  readonly #random: Random;
  readonly #shared: Machine | null;
  readonly #client: Thread;
  readonly #edge: Thread;
  readonly #cache: EdgeCache;
  readonly #fleet: Fleet;
  readonly #outcome: Outcome;
  readonly #everyWorker: SimulatedWorker[] = [];
  #launching = 0;
  #presentSince = 0;
  #calmSince = 0;
  #isOpen = true;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#random = seededRandom(scenario.seed);
    const { cores = null, urls, isolates = 1, keyOf = String, edgeCache } = scenario;
    this.#shared = cores === null ? null : new Machine(this.#events, cores);
    const machine = this.#shared ?? new Machine(this.#events, null);
    this.#client = machine.thread();
    this.#edge = machine.thread();
    this.#cache = new EdgeCache(edgeCache.room, edgeCache.ttlMs);
    for (const image of scenario.cached ?? []) this.#cache.store(image, 0);
    this.#fleet = new Fleet({ urls, isolates, keyOf, random: this.#random });
    this.#outcome = {
      arrivals: 0,
      replies: 0,
      refused: 0,
      lost: 0,
      retried: 0,
      inSystem: 0,
      encodes: 0,
      prefixes: { hits: 0, misses: 0 },
      firstToken: new Latencies(),
      reply: new Latencies(),
      presence: 0,
      workerMs: 0,
      endedAt: 0,
    };
  }

  run(): Outcome {
    const { workers, scaling, endMs } = this.#scenario;
    for (let i = 0; i < workers; i++) this.#launch(0);
    const arrivals = this.#scenario.arrivals[Symbol.iterator]();
    const next = () => {
      const { value, done } = arrivals.next();
      if (done) {
        this.#isOpen = false;
        return;
      }
      this.#events.at(value.dueAt, () => {
        next();
        this.#begin(value);
      });
    };
    next();
    if (scaling !== undefined) this.#events.after(scaling.everyMs, () => this.#scale(scaling));
    this.#events.run(endMs);
    const outcome = this.#outcome;
    this.#count(0);
    outcome.endedAt = this.#events.now;
    for (const { engine } of this.#everyWorker) {
      outcome.encodes += engine.encodes;
      outcome.prefixes.hits += engine.prefixes.hits;
      outcome.prefixes.misses += engine.prefixes.misses;
    }
    outcome.workerMs += (this.#fleet.size + this.#launching) * outcome.endedAt;
    return outcome;
  }

  #begin(arrival: Arrival): void {
    this.#outcome.arrivals += 1;
    this.#count(1);
    const { hit } = this.#scenario.times;
    this.#on(this.#client, hit.before.client, () =>
      this.#locate({ arrival, firstAt: null, retries: 0, spread: 1 }),
    );
  }

  #locate(open: Open): void {
    const { image } = open.arrival;
    const { hit, miss } = this.#scenario.times;
    const found = this.#cache.find(image, this.#events.now);
    const isNew = found === 'absent';
    const { before, beforeWait, spread } = isNew ? miss : hit;
    open.spread = draw(spread, this.#random);
    this.#on(this.#edge, open.spread * before.edge, () =>
      this.#after(open.spread * beforeWait, () => {
        if (found === 'pending') this.#follow(open);
        else this.#send(open, isNew);
      }),
    );
  }

  /** Another request has the embeddings computed, or did so a moment ago. */
  #follow(open: Open): void {
    const { image } = open.arrival;
    const found = this.#cache.find(image, this.#events.now);
    if (found === 'pending') this.#cache.follow(image, () => this.#follow(open));
    else this.#send(open, found === 'absent');
  }

  #send(open: Open, isNew: boolean): void {
    const { image, tokens } = open.arrival;
    const { times, clientOf = ({ dueAt }) => String(dueAt) } = this.#scenario;
    const around = isNew ? times.miss : times.hit;
    const sent = this.#fleet.send(image);
    const end = (kind: 'refused' | 'lost') => {
      sent?.ended();
      if (isNew) this.#cache.leave(image);
      this.#outcome[kind] += 1;
      this.#count(-1);
    };
    if (sent === null) {
      end('refused');
      return;
    }
    let ended = false;
    sent.worker.run({
      image,
      tokens,
      isNew,
      spread: open.spread,
      client: clientOf(open.arrival),
      onEncoded: () => this.#cache.store(image, this.#events.now),
      onToken: (isLast) => {
        if (isLast) {
          ended = true;
          sent.ended();
        }
        this.#deliver(open, around, isLast);
      },
      onRefused: () => end('refused'),
      onLost: () => {
        if (ended) return;
        ended = true;
        // Before its first event a request is sent to one other worker.
        if (open.firstAt !== null || open.retries > 0) return end('lost');
        sent.ended();
        open.retries += 1;
        this.#outcome.retried += 1;
        this.#send(open, isNew);
      },
    });
  }

  #deliver(open: Open, { after, afterWait, later }: Around, isLast: boolean): void {
    const { token } = this.#scenario.times;
    open.firstAt ??= Number.POSITIVE_INFINITY;
    this.#on(this.#edge, token.edge, () =>
      this.#on(this.#client, token.client, () => {
        open.firstAt = Math.min(open.firstAt!, this.#events.now);
        if (!isLast) return;
        this.#on(this.#edge, after.edge, () =>
          this.#on(this.#client, after.client, () =>
            this.#after(afterWait, () => {
              this.#replied(open);
              this.#on(this.#edge, later.edge, () => {});
              this.#on(this.#client, later.client, () => {});
            }),
          ),
        );
      }),
    );
  }

  #replied({ arrival: { dueAt }, firstAt }: Open): void {
    const { warmUpMs = 0, onReply } = this.#scenario;
    const { now: endAt } = this.#events;
    this.#outcome.replies += 1;
    this.#count(-1);
    if (dueAt < warmUpMs) return;
    this.#outcome.firstToken.record(firstAt! - dueAt);
    this.#outcome.reply.record(endAt - dueAt);
    onReply?.({ dueAt, firstAt: firstAt!, endAt });
  }

  /** A worker that takes requests after some time, until its machine is taken away. */
  #launch(afterMs: number): void {
    const { times, worker: settings, urls, spotLifeMs, replaceMs = 0 } = this.#scenario;
    this.#launching += 1;
    this.#outcome.workerMs -= this.#events.now;
    this.#after(afterMs, () => {
      this.#launching -= 1;
      const number = this.#everyWorker.length;
      const machine = this.#shared ?? new Machine(this.#events, null);
      // Where the edge knows workers themselves, each has its address.
      const url = urls[number] ?? `worker-${number}`;
      const worker = new SimulatedWorker(url, machine, times, settings, {
        random: this.#random,
        events: this.#events,
      });
      this.#everyWorker.push(worker);
      this.#fleet.add(worker);
      this.#scenario.onFleet?.(this.#events.now, this.#fleet.size);
      if (spotLifeMs === undefined) return;
      this.#events.after(-spotLifeMs * Math.log(1 - this.#random()), () => {
        if (!this.#isOpen || !this.#fleet.workers.includes(worker)) return;
        this.#stop(worker);
        worker.lose();
        this.#launch(replaceMs);
      });
    });
  }

  #stop(worker: SimulatedWorker): void {
    this.#fleet.remove(worker);
    this.#outcome.workerMs += this.#events.now;
    this.#scenario.onFleet?.(this.#events.now, this.#fleet.size);
  }

  #scale(rules: ScalingRules): void {
    if (!this.#isOpen) return;
    const have = this.#fleet.size + this.#launching;
    const target = wanted({ underWay: this.#outcome.inSystem, have }, rules);
    if (target >= have) this.#calmSince = this.#events.now;
    for (let i = have; i < target; i++) this.#launch(rules.delayMs);
    if (target < have && this.#events.now - this.#calmSince >= rules.calmMs) {
      const { idlest } = this.#fleet;
      if (idlest !== undefined && this.#fleet.size > rules.least) this.#stop(idlest);
    }
    this.#events.after(rules.everyMs, () => this.#scale(rules));
  }

  /** Keeps count of who is in the system, and for how long. */
  #count(change: 1 | 0 | -1): void {
    const outcome = this.#outcome;
    outcome.presence += outcome.inSystem * (this.#events.now - this.#presentSince);
    this.#presentSince = this.#events.now;
    outcome.inSystem += change;
  }

  #on(thread: Thread, ms: number, then: () => void): void {
    if (ms === 0) then();
    else thread.run(ms, then);
  }

  #after(ms: number, then: () => void): void {
    if (ms === 0) then();
    else this.#events.after(ms, then);
  }
}
