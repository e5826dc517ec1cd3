/** OPT over the keys and values of its slots: prompts chunk by chunk, then a token for each sequence. */
import type { OptManifest } from '@blip2/shared/bundle-manifest';
import { even } from '../../runtime/tensors.ts';
import { type KvAllocator, openKvAllocator } from '../kv/kv-allocator.ts';
import type { KvCapacity } from '../kv/kv-budget.ts';
import type { KvCache, Range } from '../kv/kv-cache.ts';
import type { EngineOptions } from '../protocol.ts';
import type { KvUsage } from '../stats.ts';
import type { DecodeBatch, Decoder, ForwardBatch, PrefillBatch, Prompt } from './decoder.ts';
import { ForwardOutput } from './forward-output.ts';
import { evenText, type OptRun, OptSession } from './opt-session.ts';

/** Attention is causal: a prompt may be read chunk by chunk. */
export class OptDecoder implements Decoder {
  readonly isCausal = true;
  readonly imagePositions: number;
  readonly cache: KvCache;
  readonly #manifest: OptManifest;
  readonly #session: OptSession;
  readonly #allocator: KvAllocator;

  private constructor(manifest: OptManifest, session: OptSession, allocator: KvAllocator) {
    this.imagePositions = manifest.num_query_tokens;
    this.cache = allocator.create();
    this.#manifest = manifest;
    this.#session = session;
    this.#allocator = allocator;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(options: EngineOptions<OptManifest>): Promise<OptDecoder> {
    const session = await OptSession.load(options);
    return new OptDecoder(options.manifest, session, await openKvAllocator(options));
  }

  get usage(): KvUsage {
    return { kvBytes: this.cache.bytes, deviceTensors: this.#allocator.deviceTensors };
  }

  cachedPositions(textIds: number): number {
    return this.imagePositions + textIds;
  }

  promptTokenIds({ ids }: Prompt): number[] {
    const { image_token_id } = this.#manifest.decoder;
    return [...Array<number>(this.imagePositions).fill(image_token_id), ...ids];
  }

  async forward(batch: ForwardBatch): Promise<ForwardOutput> {
    const run = batch.kind === 'prefill' ? this.#prefillRun(batch) : decodeRun(batch);
    if (batch.kind === 'decode') this.cache.trim(run.inputIds.length);
    const { logits, keysAndValues } = await this.#session.run(run, this.cache);
    const imagePositions = run.queryEmbeddings === undefined ? 0 : this.imagePositions;
    return new ForwardOutput({
      logits,
      runRows: run.inputIds.length,
      batchRows: batch.rows.length,
      keysAndValues,
      cache: this.cache,
      mappings: run.inputIds.map(({ length }, row) => ({
        row,
        slot: run.firstSlot + row,
        start: run.past[row] as number,
        length: imagePositions + length,
      })),
    });
  }

  copySlot(from: number, to: number, positions: Range): void {
    this.cache.reserve({ slots: to + 1, positions: positions.end });
    this.cache.copy(from, to, positions);
  }

  shrink(most: KvCapacity): void {
    this.cache.shrink(most);
  }

  reset(): void {
    this.cache.reset();
  }

  async release(): Promise<void> {
    this.cache.release();
    await this.#session.release();
    await this.#allocator.release();
  }

  /** From the first position on, image positions and text go in one run: the weights are read once. */
  #prefillRun({ firstSlot, rows }: PrefillBatch): OptRun {
    const images = this.imagePositions;
    const inputIds = rows.map(({ prompt, positions: { start, end } }) =>
      prompt.ids.slice(Math.max(0, start - images), end - images),
    );
    const past = rows.map(({ positions }) => positions.start);
    if (past.some((position) => position > 0)) {
      return { firstSlot, inputIds, past, textPositions: evenText(inputIds) };
    }
    const queryEmbeddings = rows.map(({ prompt }) => prompt.queryEmbeddings);
    const textPositions = evenText(inputIds, images);
    return { firstSlot, inputIds, past, queryEmbeddings, textPositions };
  }
}

/** The rows of the slots 0 … n−1, and one more where they are odd in number. */
function decodeRun({ rows }: DecodeBatch): OptRun {
  const all = Array.from({ length: even(rows.length) }, (_, slot) => rows[slot] ?? null);
  return {
    firstSlot: 0,
    inputIds: all.map((row) => (row === null ? [] : [row.nextToken])),
    past: all.map((row) => row?.cachedPositions ?? 0),
    textPositions: 1,
  };
}
