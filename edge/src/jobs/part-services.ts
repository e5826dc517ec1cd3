/** What the object of a part works with: the app that its items are run in, and what fills its window. */
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';
import { imageKey, type PartOrder } from './contract.ts';
import { PartFiller } from './fill-part.ts';
import type { PartTable } from './part-table.ts';
import { JobQueue } from './queue.ts';
import { type ItemApp, Rehearser } from './rehearsal.ts';

export type PartServices = { deps: Dependencies; rehearser: Rehearser; filler: PartFiller };

type Parts = {
  table: PartTable;
  bucket: R2Bucket;
  deps: Dependencies;
  createApp: (deps: Dependencies) => ItemApp;
  waitUntil: (work: Promise<unknown>) => void;
};

export function partServices({ table, bucket, deps, createApp, waitUntil }: Parts): PartServices {
  const rehearser = new Rehearser({
    deps,
    createApp,
    storeImage: async (sha256, bytes) => {
      const { state } = table;
      if (state !== null)
        await bucket.put(imageKey(state.order.owner, state.order.job, sha256), bytes);
    },
    waitUntil,
  });
  const queue = new JobQueue({ config: deps.config, fetch: deps.fetchConfigured });
  return { deps, rehearser, filler: new PartFiller({ table, bucket, deps, rehearser, queue }) };
}

/** An item as a request that nobody waits for. */
export function contextOf(
  { config, now }: Pick<Dependencies, 'config' | 'now'>,
  requestId: string,
  { client, namespace }: Pick<PartOrder, 'client' | 'namespace'>,
  waitUntil: (work: Promise<unknown>) => void,
): RequestContext {
  const startedAt = now();
  const { signal } = new AbortController();
  const deadlineAt = startedAt + config.deadlineMs;
  return { requestId, client, namespace, startedAt, signal, deadlineAt, waitUntil };
}
