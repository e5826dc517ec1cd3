/** The parts of the app that are others while it runs an item of a job: each does what the stage of its item says. */
import { type KeyRecord, SCOPES } from '@blip2/shared/api-key';
import { type ImagePath, imagePathOfEmbeddings } from '@blip2/shared/cache-key';
import type { GpuTask } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { EmbeddingCache, type Lookup } from '../embeddings/embedding-cache.ts';
import type { EmbeddingStore } from '../embeddings/embedding-store.ts';
import { type CachedReply, ReplyCache } from '../generation/reply-cache.ts';
import type { GpuReplyEvent, GpuSource } from '../gpu/client.ts';
import type { ImageInput, ImageSource } from '../image/image-input.ts';
import { KeyStore } from '../keys/key-store.ts';
import { Namespaces } from '../keys/namespaces.ts';
import { Limiter } from '../limits/limiter.ts';
import { MeteredGpu } from '../limits/metered-gpu.ts';
import type { RequestContext } from '../request-context.ts';
import { SingleFlight } from '../turns/single-flight.ts';

/** What the app's parts do while one item is run. */
export type Stage = {
  seed: number;
  namespace: string;
  images(source: ImageSource): Promise<ImageInput>;
  gpu(task: GpuTask, source: GpuSource | null): AsyncGenerator<GpuReplyEvent, void, undefined>;
  lookup(real: EmbeddingCache, ...of: Parameters<EmbeddingCache['lookup']>): Promise<Lookup>;
  /** Whether replies that were written before may be used for an image. */
  mayReplay(path: ImagePath): boolean;
};

const HOUR_SECONDS = 3600;
/** It is only of the form of a key: who it lets in is decided by `Everybody`. */
export const ITEM_KEY = `sk-${'0'.repeat(43)}`;

/** The app's parts that are others for items; everything else is as it is for requests. */
export function stagedParts(deps: Dependencies, stage: () => Stage): Partial<Dependencies> {
  const { config, now, kv } = deps;
  return {
    // Not what was cached and how long it took: an item is run where and when it can be.
    config: { ...config, allowAnonymous: false, showCache: false },
    access: {
      allowAnonymous: false,
      namespaces: new StagedNamespace(stage),
      keys: new Everybody({ kv, now, timeoutMs: 0 }),
      now,
    },
    limiter: new NoLimits({ objects: undefined, config, now }),
    gpu: new StagedGpu(deps, stage),
    images: (source) => stage().images(source),
    stores: {
      query: stagedStore(deps, deps.stores.query, stage),
      ...(deps.stores.itc && { itc: stagedStore(deps, deps.stores.itc, stage) }),
    },
    replyCache: new StagedReplies(deps, stage),
    randomSeed: () => stage().seed,
    predictions: undefined,
    idempotency: undefined,
  };
}

class StagedNamespace extends Namespaces {
  readonly #stage: () => Stage;

  constructor(stage: () => Stage) {
    super();
    this.#stage = stage;
  }

  override async of(): Promise<string> {
    return this.#stage().namespace;
  }
}

/** Whoever made the job was let in then. */
class Everybody extends KeyStore {
  override async find(): Promise<KeyRecord> {
    return { name: 'job', scopes: [...SCOPES], created_at: 0 };
  }
}

class NoLimits extends Limiter {
  override open(): undefined {
    return undefined;
  }
}

/** Everything but runs is the real one's. */
class StagedGpu extends MeteredGpu {
  readonly #stage: () => Stage;

  constructor({ gpu }: Dependencies, stage: () => Stage) {
    super(gpu, 0);
    this.#stage = stage;
  }

  /** Items have a queue. */
  override refusal(): null {
    return null;
  }

  override run(
    task: GpuTask,
    source: GpuSource | null,
  ): AsyncGenerator<GpuReplyEvent, void, undefined> {
    return this.#stage().gpu(task, source);
  }
}

function stagedStore(deps: Dependencies, real: EmbeddingStore, stage: () => Stage): EmbeddingStore {
  const { config, now } = deps;
  return {
    ...real,
    cache: new StagedEmbeddings(deps, real, stage),
    flights: new SingleFlight(now, config.deadlineMs),
  };
}

class StagedEmbeddings extends EmbeddingCache {
  readonly #real: EmbeddingCache;
  readonly #stage: () => Stage;

  constructor(
    deps: Dependencies,
    { cache, kind, model, shape }: EmbeddingStore,
    stage: () => Stage,
  ) {
    const { config, coloCache, deletions, kv, now } = deps;
    const caches = { coloCache, kv, now, timeoutMs: config.cacheTimeoutMs, ttlSeconds: 0 };
    super({ ...caches, deletions }, { kind, revision: model.revision, preprocessing: '' }, shape);
    this.#real = cache;
    this.#stage = stage;
  }

  override async lookup(...of: Parameters<EmbeddingCache['lookup']>): Promise<Lookup> {
    return await this.#stage().lookup(this.#real, ...of);
  }

  override async hasInstructions(path: ImagePath, context: RequestContext): Promise<boolean> {
    return await this.#real.hasInstructions(path, context);
  }

  /** What a job computes is cached where its order says so, by the job itself. */
  override async put(): Promise<void> {}

  override async delete(): Promise<void> {}
}

class StagedReplies extends ReplyCache {
  readonly #stage: () => Stage;

  constructor(deps: Dependencies, stage: () => Stage) {
    const { config, coloCache, deletions, kv, now } = deps;
    super({
      ...{ coloCache, deletions, kv, now },
      timeoutMs: config.cacheTimeoutMs,
      ttlSeconds: config.replyTtlHours * HOUR_SECONDS,
      secret: config.cacheSecret,
      usesKv: config.cacheRepliesInKv,
      // Objects of many parts share an isolate, and no item asks for what another has asked for.
      maxRecentBytes: 2 ** 16,
    });
    this.#stage = stage;
  }

  override async findStored(
    ...of: Parameters<ReplyCache['findStored']>
  ): Promise<CachedReply | null> {
    return this.#mayReplay(of[0].image) ? await super.findStored(...of) : null;
  }

  override async put(): Promise<void> {}

  #mayReplay(path: ImagePath): boolean {
    return this.#stage().mayReplay(imagePathOfEmbeddings(path));
  }
}
