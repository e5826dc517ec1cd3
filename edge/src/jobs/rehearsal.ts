/**
 * The app itself, run twice for each item of a job. At the rehearsal its GPU writes down what it is asked for and answers
 * nothing, so that an item is checked, tokenized and looked up in the caches as any other request. At the performance it
 * replays what a GPU worker has committed, and the app makes the reply of it. So a job can do whatever the app can.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { partsOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { type ImageId, imageIdOf } from '@blip2/shared/image-id';
import { revisionFor } from '@blip2/shared/served-models';
import type { ImageInfo } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { CachedImage, EmbeddingCache } from '../embeddings/embedding-cache.ts';
import type { GpuReplyEvent } from '../gpu/client.ts';
import { WholeRequest } from '../http/whole-request.ts';
import type { BatchLine } from './contract.ts';
import type { ItemSource, ItemWork } from './item-source.ts';
import { rememberingModels } from './remembered-ids.ts';
import { ITEM_KEY, type Stage, stagedParts } from './staged-parts.ts';
import {
  isUnread,
  type StoreImage,
  severalTasks,
  sourceOf,
  UNREAD,
  unreadImage,
} from './unread-image.ts';

/** A reply as it stands in a result; of a long one its JSON, which is not read and written again. */
export type ItemReply = { status: number } & ({ body: unknown } | { text: string });

/** Characters of a reply that stays as it is: to read embeddings and write them again takes longer than all else. */
const LONG_REPLY = 2 ** 14;

/** What a rehearsal comes to: a reply that needs no GPU, which may be a refusal, or the work for one. */
export type Rehearsed = { kind: 'reply'; reply: ItemReply } | { kind: 'work'; work: ItemWork };

/** What a GPU worker has made of an item. */
export type Performance = {
  /** Of its reply. */
  events: readonly GpuReplyEvent[];
  /** Why there is none, or how it ended. */
  error?: ApiError;
  /** Of the image that was read, where there is one. */
  sha256: string | undefined;
  work: ItemWork;
};

/** The parts of the app that items are run with. */
export type ItemApp = {
  fetch(request: Request, env: object, context: ExecutionContext): Response | Promise<Response>;
};

/** Whose items they are, and how they are the same each time. */
export type ItemOwner = {
  namespace: string;
  /** Whether it may name images of the operator's bucket. */
  isOfBucket: boolean;
  /** A name of the item within the deployment: ids of replies and seeds follow from it. */
  name: string;
};

export type RehearserOptions = {
  deps: Dependencies;
  createApp: (deps: Dependencies) => ItemApp;
  /** Puts an image that is in an item itself where its work can find it. */
  storeImage: StoreImage;
  waitUntil: (work: Promise<unknown>) => void;
};

/** A performance neither finds nor stores a reply: it need not be named, nor taken down. */
const UNCACHED = { 'cache-control': 'no-store' };

export class Rehearser {
  readonly #options: RehearserOptions;
  readonly #stages = new AsyncLocalStorage<Stage>();
  readonly #app: ItemApp;

  constructor(options: RehearserOptions) {
    this.#options = options;
    const { deps, createApp } = options;
    const stage = () => {
      const current = this.#stages.getStore();
      if (current === undefined) throw new Error('an item is run outside of its stage');
      return current;
    };
    const models = rememberingModels(deps.models);
    this.#app = createApp({ ...deps, models, ...stagedParts(deps, stage) });
  }

  /** Never rejects for what is wrong with the item. */
  async rehearse(line: BatchLine, owner: ItemOwner): Promise<Rehearsed> {
    const { deps, storeImage } = this.#options;
    const unread = new Map<ImageId, ItemSource>();
    /** Images that are in the item itself: what its work is about is put where that can find it, and no other. */
    const sent = new Map<string, Uint8Array<ArrayBuffer>>();
    let work: ItemWork | undefined;
    const stage: Stage = {
      seed: await seedOf(owner.name),
      namespace: owner.namespace,
      images: async (source) => {
        const { id, from, bytes } = await unreadImage(
          source,
          owner,
          deps,
          async (sha256, image) => {
            sent.set(sha256, image);
          },
        );
        if (from !== null) unread.set(id, from);
        return bytes === undefined ? { id } : { id, bytes };
      },
      async *gpu(task, source) {
        work ??= {
          task,
          source: sourceOf(source, task, unread),
          revision: revisionFor(deps.models, task),
        };
        const { source: about } = work;
        const image = 'sha256' in about ? sent.get(about.sha256) : undefined;
        if (image !== undefined && 'sha256' in about) await storeImage(about.sha256, image);
        yield* [];
        // Ends the request. Nobody sees it.
        throw new ApiError('too-many-requests', 'This is a rehearsal.');
      },
      lookup: async (real, id, context) => {
        const { imageId } = partsOf(id);
        // Its bytes are not known yet, and so neither is its id.
        if (isUnread(unread.get(imageId))) return { kind: 'miss', reason: 'absent' };
        // As one of very many: it is put into nobody's memory.
        const lookup = await real.read(id, context);
        if (lookup.kind === 'hit') {
          const { image } = lookup.entry;
          const before = unread.get(imageId);
          const isStored =
            before?.kind === 'stored' || (before?.kind === 'embeddings' && before.isStored);
          unread.set(imageId, {
            ...{ kind: 'embeddings', sha256: imageId, image },
            ...(isStored && { isStored }),
          });
        }
        return lookup;
      },
      mayReplay: (path) => !isUnread(unread.get(partsOf(path).imageId)),
    };
    const response = await this.#run(line, owner, stage);
    // Nobody reads what stands in place of a reply: unread, it takes next to no memory.
    if (work !== undefined) return { kind: 'work', work };
    return { kind: 'reply', reply: await replyOf(response) };
  }

  /** The reply that the app makes of what a GPU worker has committed. */
  async perform(line: BatchLine, owner: ItemOwner, performance: Performance): Promise<ItemReply> {
    const { events, error, sha256, work } = performance;
    const entry = entryOf(performance);
    let [runs, images] = [0, 0];
    const stage: Stage = {
      seed: await seedOf(owner.name),
      namespace: owner.namespace,
      images: async () => {
        images++;
        // All of them would be taken for the one that was read.
        if (images > 1 || work.source.kind === 'none') throw severalTasks();
        const id = sha256 ?? (await imageIdOf(UNREAD));
        return { id, bytes: UNREAD };
      },
      async *gpu(task) {
        runs++;
        if (runs > 1 || task.kind !== work.task.kind) throw severalTasks();
        yield* events;
        if (error !== undefined) throw error;
      },
      lookup: async (real) => {
        if (entry === null) return { kind: 'miss', reason: 'absent' };
        if (work.task.kind === 'embed') expectEmbeddings(real, entry);
        return { kind: 'hit', tier: 'colo', entry };
      },
      mayReplay: () => false,
    };
    return await replyOf(await this.#run(line, owner, stage, UNCACHED));
  }

  async #run(
    line: BatchLine,
    owner: ItemOwner,
    stage: Stage,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const headers = {
      ...more,
      'content-type': 'application/json',
      authorization: `Bearer ${ITEM_KEY}`,
      'x-request-id': owner.name,
    };
    const body = new TextEncoder().encode(JSON.stringify(line.body)) as Uint8Array<ArrayBuffer>;
    const init = { method: 'POST', headers };
    const request = new WholeRequest(`http://job.invalid${line.url}`, init, body);
    const context = {
      waitUntil: this.#options.waitUntil,
      passThroughOnException: () => {},
    } as ExecutionContext;
    return await this.#stages.run(stage, () => this.#app.fetch(request, {}, context));
  }
}

async function replyOf(response: Response): Promise<ItemReply> {
  const { status } = response;
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  // What it has used is read from it.
  const isLeft = status < 400 && isJson && text.length >= LONG_REPLY && !text.includes('"usage"');
  return isLeft ? { status, text } : { status, body: jsonOf(text) };
}

/** What the caches would have if the worker's embeddings were in them; null for texts alone. */
function entryOf({ events, work }: Performance): CachedImage | null {
  if (work.source.kind === 'none') return null;
  let image: ImageInfo | undefined =
    work.source.kind === 'embeddings' ? work.source.image : undefined;
  let embeddings = UNREAD;
  for (const event of events) {
    if (event.type === 'imageInfo') image = event.image;
    if (event.type === 'embeddings') embeddings = event.embeddings;
  }
  return image === undefined ? null : { image, embeddings, sentAt: 0 };
}

/** @throws ApiError `bad-gateway` */
function expectEmbeddings(cache: EmbeddingCache, { embeddings }: CachedImage): void {
  try {
    cache.checkValue(embeddings);
  } catch (cause) {
    const detail = 'The GPU worker committed embeddings that cannot be read.';
    throw new ApiError('bad-gateway', detail, { cause });
  }
}

/** A whole number below 2^32 that follows from a name: an item that is run again draws the same. */
async function seedOf(name: string): Promise<number> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(name));
  return new DataView(digest).getUint32(0);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
