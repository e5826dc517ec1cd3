/** The parts of a job as its own object calls them: some at a time, and again until each has heard. */
import type { Config } from '../config.ts';
import type { JobPartObject, PartFate, PartOrder } from './contract.ts';
import type { JobRecord, JobTable, KnownPart } from './job-table.ts';
import { shareOf } from './result-budget.ts';

/** Parts that are called in one alarm. */
const AT_A_TIME = 20;
/** A part that has not ended and says nothing for so long is asked: its alarm may be gone. */
export const SILENT_MS = 60_000;

export class JobParts {
  readonly #table: JobTable;
  readonly #objects: DurableObjectNamespace;
  readonly #config: Pick<Config, 'jobsRunningParts'>;

  constructor(
    table: JobTable,
    objects: DurableObjectNamespace,
    config: Pick<Config, 'jobsRunningParts'>,
  ) {
    this.#table = table;
    this.#objects = objects;
    this.#config = config;
  }

  /** Whether some of them can be called at once. @param isRunning whether they are to run, or to end */
  hasMore(isRunning: boolean): boolean {
    return (isRunning ? this.#startable() : this.#table.unended(1)).length > 0;
  }

  /** Starts the next ones, as many as may run. */
  async start(): Promise<void> {
    await this.#each(this.#startable(), async (object, order) => {
      await object.start(order);
      this.#table.markStarted(order.part, Date.now());
    });
  }

  async end(fate: Extract<PartFate, 'canceled' | 'expired'>): Promise<void> {
    await this.#each(this.#table.unended(AT_A_TIME), async (object, order) => {
      // One that was not begun has to say of its items that they were not run.
      await object.start(order);
      await object.end(fate);
      this.#table.markStarted(order.part, Date.now());
      this.#table.markEnded(order.part);
    });
  }

  async askSilent(now: number): Promise<void> {
    await this.#each(this.#table.silent(now - SILENT_MS, AT_A_TIME), async (object) => {
      const report = await object.report();
      if (report !== null) this.#table.hear(report, Date.now());
    });
  }

  /** Has all of them delete what they have. */
  async forget(): Promise<void> {
    const { record } = this.#table;
    if (record === null) return;
    for (const { part } of this.#table.parts()) await this.#object(record, part).forget();
  }

  #startable(): KnownPart[] {
    return this.#table.startable(this.#config.jobsRunningParts, AT_A_TIME);
  }

  async #each(
    parts: readonly KnownPart[],
    call: (object: JobPartObject, order: PartOrder) => Promise<void>,
  ): Promise<void> {
    const { record } = this.#table;
    if (record === null) return;
    const shared = sharedOf(record);
    const { total } = this.#table.totals();
    await Promise.all(
      parts.map(async ({ part, items }) => {
        await call(this.#object(record, part), {
          ...{ ...shared, part, items },
          maxResultBytes: shareOf(items, total),
        });
      }),
    );
  }

  #object({ id }: Pick<JobRecord, 'id'>, part: number): JobPartObject {
    return this.#objects.getByName(`${id}/${part}`) as unknown as JobPartObject;
  }
}

/** What all parts have in common. */
function sharedOf({ id, order }: JobRecord): Omit<PartOrder, 'part' | 'items'> {
  const { owner, client, namespace, cacheEmbeddings, expiresAt, input, settings, traceparent } =
    order;
  const isOfBucket = input.kind === 'prefix' || order.isOfBucket === true;
  return {
    ...{ job: id, owner, client, namespace, cacheEmbeddings, expiresAt, isOfBucket },
    ...(traceparent !== undefined && { traceparent }),
    ...(Object.keys(settings).length > 0 && { settings }),
  };
}
