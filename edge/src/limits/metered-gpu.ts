/** The GPU worker for callers with accounts: work is charged before it begins, and settled however it ends. */
import type { ImagePath } from '@blip2/shared/cache-key';
import type { ApiError } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { GpuTask, WorkerModel } from '@blip2/shared/wire';
import type { GpuReplyEvent, GpuSource } from '../gpu/client.ts';
import type { WorkerLoad } from '../gpu/worker-load.ts';
import type { Gpu } from '../gpu/workers.ts';
import type { RequestContext } from '../request-context.ts';
import type { Account } from './account.ts';
import { mostGenerated, promptTokens } from './cost.ts';
import type { Use } from './limits.ts';

type OnBegun = Parameters<Gpu['run']>[3];

export class MeteredGpu implements Gpu {
  readonly #gpu: Gpu;
  readonly #queryTokens: number;

  /** @param queryTokens positions of a prompt that an image takes */
  constructor(gpu: Gpu, queryTokens: number) {
    this.#gpu = gpu;
    this.#queryTokens = queryTokens;
  }

  /** @throws ApiError `quota-exceeded`, `limits-unavailable`, and those of the GPU worker */
  run(
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
    onBegun?: OnBegun,
  ): AsyncGenerator<GpuReplyEvent, void, undefined> {
    const { account } = context;
    if (account === undefined) return this.#gpu.run(task, source, context, onBegun);
    return this.#metered(account, task, source, context, onBegun);
  }

  async *#metered(
    account: Account,
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
    onBegun?: OnBegun,
  ): AsyncGenerator<GpuReplyEvent, void, undefined> {
    const prompt_tokens = promptTokens(task, this.#queryTokens);
    const images = source?.type === 'image' ? 1 : 0;
    const generated = task.kind === 'generate' ? mostGenerated(task.generation) : 0;
    const cost = { tokens: prompt_tokens + generated, images };
    const charge = await account.charge(cost, context.deadlineAt);
    const actual: Use = { prompt_tokens: 0, completion_tokens: 0, images: 0 };
    try {
      for await (const event of this.#gpu.run(task, source, context, onBegun)) {
        // Whoever is refused by the worker, or gets nothing of it, has used nothing.
        actual.prompt_tokens = prompt_tokens;
        if (event.type === 'tokens') actual.completion_tokens += event.tokens.length;
        if (event.type === 'embeddings' || event.type === 'scores') actual.images = images;
        yield event;
      }
    } finally {
      charge.settle(actual);
    }
  }

  refusal(context: RequestContext): ApiError | null {
    return this.#gpu.refusal(context);
  }

  async isReady(): Promise<boolean> {
    return await this.#gpu.isReady();
  }

  async fingerprint(key: ImageId): Promise<string | undefined> {
    return await this.#gpu.fingerprint(key);
  }

  async model(): Promise<WorkerModel> {
    return await this.#gpu.model();
  }

  async load(): Promise<WorkerLoad> {
    return await this.#gpu.load();
  }

  async dropImage(path: ImagePath, context: RequestContext): Promise<void> {
    await this.#gpu.dropImage(path, context);
  }
}
