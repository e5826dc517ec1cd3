/** The GPU worker for callers with accounts: work is charged before it begins, and settled however it ends. */
import type { GpuTask } from '@blip2/shared/wire';
import {
  GpuClient,
  type GpuClientOptions,
  type GpuReplyEvent,
  type GpuSource,
} from '../gpu/client.ts';
import type { RequestContext } from '../request-context.ts';
import type { Account } from './account.ts';
import { mostGenerated, promptTokens } from './cost.ts';
import type { Use } from './limits.ts';

type OnBegun = Parameters<GpuClient['run']>[3];

export class MeteredGpu extends GpuClient {
  readonly #queryTokens: number;

  constructor(options: GpuClientOptions) {
    super(options);
    this.#queryTokens = options.models.generate.num_query_tokens;
  }

  /** @throws ApiError `quota-exceeded`, `limits-unavailable`, and those of the GPU worker */
  override run(
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
    onBegun?: OnBegun,
  ): AsyncGenerator<GpuReplyEvent, void, undefined> {
    const { account } = context;
    if (account === undefined) return super.run(task, source, context, onBegun);
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
      for await (const event of super.run(task, source, context, onBegun)) {
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
}
