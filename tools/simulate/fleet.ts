/** The workers of a simulation in their clusters, and which of them a request goes to: as edge and balancers choose. */
import { firstWithRoom } from '../../edge/src/gpu/bounded-load.ts';
import type { Random } from '../load/random.ts';
import { Preferences } from './preferences.ts';
import type { SimulatedWorker } from './worker.ts';

/** Workers behind one balancer, which knows how much each of them has; or one worker that edges call themselves. */
type Cluster = {
  readonly url: string;
  readonly weight: 1;
  readonly index: number;
  workers: SimulatedWorker[];
  preferences: Preferences<SimulatedWorker>;
};

/** Where a request went. */
export type Sent = { readonly worker: SimulatedWorker; readonly ended: () => void };

export type FleetOptions = {
  /** Addresses that the edge knows. */
  urls: readonly string[];
  /** Isolates of the edge, each of which knows only what it has sent itself. */
  isolates: number;
  keyOf: (image: number) => string;
  random: Random;
};

export class Fleet {
  readonly #clusters: readonly Cluster[];
  readonly #preferences: Preferences<Cluster>;
  /** By isolate, by cluster. */
  readonly #inFlight: readonly Int32Array[];
  readonly #options: FleetOptions;

  constructor(options: FleetOptions) {
    const { urls, isolates, keyOf } = options;
    this.#options = options;
    this.#clusters = urls.map((url, index) => ({
      url,
      weight: 1,
      index,
      workers: [],
      preferences: new Preferences<SimulatedWorker>([], keyOf),
    }));
    this.#preferences = new Preferences(this.#clusters, keyOf);
    this.#inFlight = Array.from({ length: isolates }, () => new Int32Array(urls.length));
  }

  get workers(): SimulatedWorker[] {
    return this.#clusters.flatMap(({ workers }) => workers);
  }

  get size(): number {
    return this.#clusters.reduce((sum, { workers }) => sum + workers.length, 0);
  }

  /** It takes requests from now on, in the cluster that has the fewest. */
  add(worker: SimulatedWorker): void {
    const smallest = this.#clusters.reduce((least, one) =>
      one.workers.length < least.workers.length ? one : least,
    );
    this.#set(smallest, [...smallest.workers, worker]);
  }

  /** It gets no more requests; what it has goes on. */
  remove(worker: SimulatedWorker): void {
    const cluster = this.#clusters.find(({ workers }) => workers.includes(worker));
    if (cluster !== undefined)
      this.#set(
        cluster,
        cluster.workers.filter((one) => one !== worker),
      );
  }

  /** One that has least to do, of the cluster that has most workers: the first to be stopped. */
  get idlest(): SimulatedWorker | undefined {
    const largest = this.#clusters.reduce((most, one) =>
      one.workers.length > most.workers.length ? one : most,
    );
    return largest.workers.toSorted((a, b) => a.inFlight - b.inFlight)[0];
  }

  /** Sends a request about an image; null where there is no worker. */
  send(image: number): Sent | null {
    const { random, isolates } = this.#options;
    const sent = this.#inFlight[isolates === 1 ? 0 : Math.floor(random() * isolates)]!;
    const order = this.#preferences.of(image).filter(({ workers }) => workers.length > 0);
    const loads = order.map(({ weight, index }) => ({ weight, index, inFlight: sent[index]! }));
    const chosen = firstWithRoom(loads);
    if (chosen === undefined) return null;
    const { index } = chosen;
    const worker = firstWithRoom(this.#clusters[index]!.preferences.of(image))!;
    sent[index]! += 1;
    worker.inFlight += 1;
    const ended = () => {
      sent[index]! -= 1;
      worker.inFlight -= 1;
    };
    return { worker, ended };
  }

  #set(cluster: Cluster, workers: SimulatedWorker[]): void {
    cluster.workers = workers;
    cluster.preferences = new Preferences(workers, this.#options.keyOf);
  }
}
