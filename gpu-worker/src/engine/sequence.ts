/** The state of a request while it is served: the request, and a generation's group of sequences. */
import type { GpuTimings } from '@blip2/shared/wire';
import type { DecodingStrategy } from './decoding/strategy.ts';
import type { KvNeed } from './kv/kv-budget.ts';
import type { Prompt } from './models/decoder.ts';
import type { Origin, Question } from './protocol.ts';
import type { Ticket } from './scheduling/fair-queue.ts';
import type { Pool } from './scheduling/slot-share.ts';

/** A submitted job, until its end. */
export type EngineRequest = {
  /** Of the job, between client and engine. */
  id: number;
  /** Names the request in logs and errors, where it came with a name. */
  requestId: string | undefined;
  /** Without its source, which is gone once it was read: a text takes a hundred times as long as its image. */
  job: Question;
  /** Where it is about an image that has a name. */
  origin?: Origin | undefined;
  /** Who waits for it; the unnamed are one. */
  client: string;
  /** Its place in the fair queue. */
  ticket: Ticket;
  /** Milliseconds of this thread's clock. */
  submittedAt: number;
  timings: GpuTimings;
  /** When it was last said that something is done for it, milliseconds of the engine's clock. */
  advancedAt?: number;
};

/** The part of a prompt that its first pass writes into a slot. */
export type FirstChunk = {
  /** Positions of the prompt that the slot holds then. */
  end: number;
  /** Those of them that are computed; the others are cached. */
  computed: number;
  /** Those of the computed that are text, not the image's. */
  computedText: number;
};

/** One text while it is generated: state only. */
export class Sequence {
  readonly group: SequenceGroup;
  /** Of the KV cache; the batch moves sequences between slots. */
  slot: number;
  /** Positions that its slot holds. */
  cachedPositions = 0;
  /** Token id that it reads next, once its prompt is computed. */
  nextToken = Number.NaN;
  /** Ids of the prompt behind those that passes have read or are reading. */
  unreadIds: number;
  /** Chunks of the prompt behind the first that passes have read or are reading. */
  laterChunks = 0;

  constructor(group: SequenceGroup, slot: number) {
    this.group = group;
    this.slot = slot;
    this.unreadIds = group.prompt.ids.length;
  }

  /** Its turn to read the next chunk: behind others, with each that it has read. */
  get turn(): Ticket {
    const { ticket } = this.group.request;
    return { ...ticket, start: ticket.start + this.laterChunks };
  }

  /** Whether it gets a token with each decode step. */
  get isPrefilled(): boolean {
    return this.unreadIds === 0;
  }
}

/** One request's generation. */
export class SequenceGroup {
  readonly request: EngineRequest;
  readonly prompt: Prompt;
  readonly strategy: DecodingStrategy;
  /** In the order in which the strategy counts them; none before the prefill. */
  sequences: Sequence[] = [];
  /** Kept up to date by the KV manager while the group waits for slots. */
  firstChunk: FirstChunk = { end: 0, computed: 0, computedText: 0 };
  /** Where its slots are counted, once it has any. */
  pool: Pool = 'common';
  /** Whether its memory is that which others leave to short requests. */
  isSpare = false;

  constructor(request: EngineRequest, prompt: Prompt, strategy: DecodingStrategy) {
    this.request = request;
    this.prompt = prompt;
    this.strategy = strategy;
  }

  /** Slots that it holds or may still ask for. */
  get slots(): number {
    return this.strategy.width;
  }

  /** What its sequences may come to hold. */
  get kv(): KvNeed {
    const { job } = this.request;
    const maxTokens = job.kind === 'generate' ? job.config.max_tokens : 0;
    return { slots: this.slots, promptIds: this.prompt.ids.length, maxTokens };
  }

  /** Positions that its first chunk computes. */
  get chunkPositions(): number {
    return this.firstChunk.computed;
  }

  get chunkText(): number {
    return this.firstChunk.computedText;
  }

  get client(): string {
    return this.request.client;
  }

  get isBackground(): boolean {
    return this.request.ticket.rank > 0;
  }
}
