/** The message of an item, as it is put into the queue. */
import type { JobMessage } from '@blip2/shared/jobs/message';
import { route } from '@blip2/shared/route';
import type { Dependencies } from '../dependencies.ts';
import { imageKey, type PartOrder } from './contract.ts';
import type { ItemSource } from './item-source.ts';
import type { WaitingItem } from './open-items.ts';
import { presignedUrl } from './presign.ts';

export async function messageOf(
  deps: Pick<Dependencies, 'config' | 'models'>,
  order: PartOrder,
  { item, work: { task, source, revision } }: WaitingItem,
): Promise<JobMessage> {
  const { job, part, client, namespace, cacheEmbeddings, expiresAt } = order;
  const model = deps.models[route(task)];
  // Embeddings are the result of `embed`, whether or not they are cached.
  const wanted = task.kind === 'embed' || (cacheEmbeddings && task.kind === 'generate');
  return {
    v: 1,
    job,
    part,
    item,
    revision,
    ...(model && { preprocessing: model.preprocessing }),
    task,
    ...(source.kind !== 'none' && { source: await sourceOf(deps, order, source) }),
    client: client.slice(0, 256),
    ...(namespace !== '' && { namespace }),
    ...(wanted && { wants_embeddings: true as const }),
    expires_at: expiresAt,
  };
}

/** Where the worker gets it: from the bucket itself where it can be signed for, else from the edge. */
async function sourceOf(
  { config }: Pick<Dependencies, 'config'>,
  { owner, job, expiresAt }: PartOrder,
  source: ItemSource,
): Promise<NonNullable<JobMessage['source']>> {
  if (source.kind !== 'stored') return { edge: true };
  const url = await presignedUrl(config, imageKey(owner, job, source.sha256), expiresAt);
  return url === null ? { edge: true } : { url };
}
