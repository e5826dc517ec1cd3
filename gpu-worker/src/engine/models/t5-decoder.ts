/** T5 over the keys and values of its slots: the encoder once a prompt, then the decoder a token at a time. */
import type { T5Manifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import { even, int32Tensor, int64Tensor, paddedIds } from '../../runtime/tensors.ts';
import { type KvAllocator, openKvAllocator } from '../kv/kv-allocator.ts';
import type { KvCapacity } from '../kv/kv-budget.ts';
import type { KvCache, Range } from '../kv/kv-cache.ts';
import type { EngineOptions } from '../protocol.ts';
import type { KvUsage } from '../stats.ts';
import type { DecodeRow, Decoder, ForwardBatch, PrefillBatch } from './decoder.ts';
import { ForwardOutput } from './forward-output.ts';

type Sessions = {
  [Name in 'encoder' | 'decoder']: GraphSession<T5Manifest['graphs'][Name]>;
};

/** The encoder attends both ways: it computes a prompt in one pass, and no other prompt can reuse its output. */
export class T5Decoder implements Decoder {
  readonly isCausal = false;
  readonly imagePositions: number;
  readonly cache: KvCache;
  readonly #manifest: T5Manifest;
  readonly #sessions: Sessions;
  readonly #allocator: KvAllocator;
  /** Keys and values of the encoder's output, for cross-attention. */
  readonly #crossCache: KvCache;
  /** Encoder positions of each slot. */
  readonly #crossLengths: number[] = [];

  private constructor(manifest: T5Manifest, sessions: Sessions, allocator: KvAllocator) {
    this.imagePositions = manifest.num_query_tokens;
    this.cache = allocator.create();
    this.#crossCache = allocator.create();
    this.#manifest = manifest;
    this.#sessions = sessions;
    this.#allocator = allocator;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(options: EngineOptions<T5Manifest>): Promise<T5Decoder> {
    const { bundle, manifest } = options;
    const { encoder, decoder } = manifest.graphs;
    const sessions = {
      encoder: await openGraph(bundle, encoder, options, ['cross_keys_values']),
      decoder: await openGraph(bundle, decoder, options, ['new_keys_values']),
    };
    return new T5Decoder(manifest, sessions, await openKvAllocator(options));
  }

  get usage(): KvUsage {
    const { deviceTensors } = this.#allocator;
    return { kvBytes: this.cache.bytes + this.#crossCache.bytes, deviceTensors };
  }

  /** The start token. */
  cachedPositions(): number {
    return 1;
  }

  promptTokenIds(): number[] {
    return [this.#manifest.decoder_start_token_id];
  }

  async forward(batch: ForwardBatch): Promise<ForwardOutput> {
    if (batch.kind === 'prefill') {
      const broken = await this.#encode(batch);
      const out = await this.#decode(
        batch.firstSlot,
        batch.rows.map(() => this.#startRow),
      );
      for (const row of broken) out.logits[row]?.fill(Number.NaN);
      return out;
    }
    for (const cache of [this.cache, this.#crossCache]) cache.trim(even(batch.rows.length));
    return this.#decode(0, batch.rows);
  }

  copySlot(from: number, to: number, positions: Range): void {
    this.cache.reserve({ slots: to + 1, positions: positions.end });
    this.cache.copy(from, to, positions);
    if (positions.start > 0) return;
    const length = this.#crossLengths[from] as number;
    this.#crossCache.reserve({ slots: to + 1, positions: length });
    this.#crossCache.copy(from, to, { start: 0, end: length });
    this.#crossLengths[to] = length;
  }

  shrink({ slots, positions, crossPositions }: KvCapacity): void {
    this.cache.shrink({ slots, positions });
    this.#crossCache.shrink({ slots, positions: crossPositions });
  }

  reset(): void {
    for (const cache of [this.cache, this.#crossCache]) cache.reset();
  }

  async release(): Promise<void> {
    for (const cache of [this.cache, this.#crossCache]) cache.release();
    const { encoder, decoder } = this.#sessions;
    for (const part of [encoder, decoder, this.#allocator]) await part.release();
  }

  get #startRow(): DecodeRow {
    return { nextToken: this.#manifest.decoder_start_token_id, cachedPositions: 0 };
  }

  /**
   * Encodes the prompts, and writes their keys and values into the cross cache.
   * @returns rows that came to no finite numbers: the cache has zeros in their place, so that their logits would be finite, and
   *   mean nothing
   */
  async #encode({ firstSlot, rows }: PrefillBatch): Promise<number[]> {
    const { num_query_tokens: queries, qformer_hidden: hidden, pad_token_id } = this.#manifest;
    const count = rows.length;
    const lengths = rows.map(({ positions }) => positions.end);
    const positions = even(Math.max(...lengths));
    this.#crossCache.reserve({ slots: firstSlot + count, positions });
    const images = new Float32Array(count * queries * hidden);
    for (const [row, { prompt }] of rows.entries()) {
      images.set(prompt.queryEmbeddings, row * queries * hidden);
    }
    const texts = rows.map(({ prompt }) => prompt.ids);
    const result = await this.#sessions.encoder.run({
      query_embeddings: new Tensor('float32', images, [count, queries, hidden]),
      input_ids: paddedIds(texts, pad_token_id, positions - queries),
      lengths: int64Tensor(lengths),
    });
    using encoded = this.#crossCache.adopt(result.cross_keys_values);
    const mappings = lengths.map((length, row) => {
      return { row, slot: firstSlot + row, start: 0, length };
    });
    await this.#crossCache.put(encoded, mappings);
    for (const { slot, length } of mappings) this.#crossLengths[slot] = length;
    return this.#crossCache.brokenRows(encoded, lengths);
  }

  /** One token for each row, whose slots begin with `firstSlot`. */
  async #decode(firstSlot: number, rows: readonly (DecodeRow | null)[]): Promise<ForwardOutput> {
    const count = even(rows.length);
    const all = Array.from({ length: count }, (_, i) => rows[i] ?? this.#startRow);
    const past = all.map(({ cachedPositions }) => cachedPositions);
    const slots = firstSlot + count;
    this.cache.reserve({ slots, positions: Math.max(...past) + 1 });
    this.#crossCache.reserve({ slots, positions: 1 });
    const own = await this.cache.feeds(firstSlot, count);
    const cross = await this.#crossCache.feeds(firstSlot, count);
    const inputIds = all.map(({ nextToken }) => nextToken);
    const result = await this.#sessions.decoder.run({
      input_ids: int64Tensor(inputIds, [count, 1]),
      position_ids: int64Tensor(past, [count, 1]),
      last_positions: int64Tensor(Array<number>(count).fill(0), [count]),
      seqlens_k: int32Tensor(past),
      // A padding row attends to one position of whatever its slot holds.
      cross_lengths: int32Tensor(all.map((_, i) => this.#crossLengths[firstSlot + i] ?? 1)),
      past_keys: own.keys,
      past_values: own.values,
      cross_keys: cross.keys,
      cross_values: cross.values,
    });
    return new ForwardOutput({
      logits: result.logits.data as Float32Array,
      runRows: count,
      batchRows: rows.length,
      keysAndValues: this.cache.adopt(result.new_keys_values),
      cache: this.cache,
      mappings: rows.map((row, i) => ({
        row: i,
        slot: firstSlot + i,
        start: row?.cachedPositions ?? 0,
        length: row === null ? 0 : 1,
      })),
    });
  }
}
