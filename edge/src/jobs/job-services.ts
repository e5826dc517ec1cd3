/** What the object of a job works with, made when it is first needed: what is not bound is an error only then. */
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import type { Outbox } from './contract.ts';
import type { JobIndexObject } from './job-index-contract.ts';
import { JobParts } from './job-parts.ts';
import type { JobTable } from './job-table.ts';

type Sources = {
  table: JobTable;
  env: Pick<Env, 'JOB_FILES' | 'JOB_INDEX' | 'JOB_PARTS'>;
  /** Called once. */
  createDependencies: () => Dependencies;
  /** Called once, for a job that has a webhook. */
  createOutbox: (deps: Dependencies) => Outbox | null;
  waitUntil: (work: Promise<unknown>) => void;
};

export class JobServices {
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly #sources: Sources;
  #deps: Dependencies | undefined;
  #outbox: Outbox | null | undefined;

  constructor(sources: Sources) {
    this.#sources = sources;
    this.waitUntil = sources.waitUntil;
  }

  get deps(): Dependencies {
    this.#deps ??= this.#sources.createDependencies();
    return this.#deps;
  }

  get bucket(): R2Bucket {
    const { JOB_FILES: bucket } = this.#sources.env;
    if (bucket === undefined) throw new Error('JOB_FILES is not bound');
    return bucket;
  }

  get parts(): JobParts {
    const { JOB_PARTS: objects } = this.#sources.env;
    if (objects === undefined) throw new Error('JOB_PARTS is not bound');
    return new JobParts(this.#sources.table, objects, this.deps.config);
  }

  /** The object of its owner; null where there is none, as for one of another deployment. */
  get index(): Pick<JobIndexObject, 'noteResults' | 'removeJob'> | null {
    const { table, env } = this.#sources;
    const { JOB_INDEX: indexes } = env;
    if (indexes === undefined || table.record === null) return null;
    try {
      const owner = indexes.idFromString(table.record.order.owner);
      return indexes.get(owner) as unknown as JobIndexObject;
    } catch {
      return null;
    }
  }

  /** Null where the job has no webhook, too: three tables are a third of the work of a small job. */
  get outbox(): Outbox | null {
    if (this.#sources.table.record?.order.webhook === undefined) return null;
    if (this.#outbox === undefined) this.#outbox = this.#sources.createOutbox(this.deps);
    return this.#outbox;
  }
}
