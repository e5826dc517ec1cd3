/** Runs language projection and T5 (builder/README.md): the encoder once a prompt, the decoder a token at a time. */
import type { T5Manifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import { even, paddedIds } from '../../runtime/tensors.ts';
import { type KvAllocator, openKvAllocator } from '../kv/kv-allocator.ts';
import type { KvCache, Range } from '../kv/kv-cache.ts';
import type { EngineOptions } from '../protocol.ts';
import type { DecoderMemory } from '../stats.ts';
import type { Decoder, DecoderPrompt, DecoderRow, OnLogits } from './decoder.ts';
import { emitLogits } from './emit-logits.ts';

type Sessions = {
  [Name in 'encoder' | 'decoder']: GraphSession<T5Manifest['graphs'][Name]>;
};

export class T5Decoder implements Decoder {
  readonly #manifest: T5Manifest;
  readonly #start: number;
  readonly #encoder: Sessions['encoder'];
  readonly #decoder: Sessions['decoder'];
  readonly #allocator: KvAllocator;
  readonly #cache: KvCache;
  /** Keys and values of the encoder's output, for cross-attention. */
  readonly #cross: KvCache;
  /** Encoder positions of each slot. */
  readonly #crossLengths: number[] = [];

  private constructor(
    { manifest }: EngineOptions<T5Manifest>,
    { encoder, decoder }: Sessions,
    allocator: KvAllocator,
  ) {
    this.#manifest = manifest;
    this.#start = manifest.decoder_start_token_id;
    this.#encoder = encoder;
    this.#decoder = decoder;
    this.#allocator = allocator;
    this.#cache = allocator.create();
    this.#cross = allocator.create();
  }

  static async load(options: EngineOptions<T5Manifest>): Promise<T5Decoder> {
    const { bundle, manifest } = options;
    const { encoder, decoder } = manifest.graphs;
    const sessions = {
      encoder: await openGraph(bundle, encoder, options, ['cross_keys_values']),
      decoder: await openGraph(bundle, decoder, options, ['new_keys_values']),
    };
    return new T5Decoder(options, sessions, await openKvAllocator(options));
  }

  get memory(): DecoderMemory {
    const { deviceTensors } = this.#allocator;
    return { kvBytes: this.#cache.bytes + this.#cross.bytes, deviceTensors };
  }

  /** The start token. */
  positionsOf(): number {
    return 1;
  }

  seenOf(): number[] {
    return [this.#start];
  }

  async prefill(
    firstSlot: number,
    prompts: readonly DecoderPrompt[],
    onLogits: OnLogits,
  ): Promise<void> {
    await this.#encode(firstSlot, prompts);
    const rows = prompts.map(() => ({ token: this.#start, past: 0 }));
    await this.#decode(firstSlot, rows, onLogits);
  }

  /** The encoder looks both ways: it reads a prompt in one go. */
  firstPiece(prompt: DecoderPrompt): { piece: DecoderPrompt; computed: number } {
    return { piece: prompt, computed: this.#manifest.num_query_tokens + prompt.ids.length };
  }

  async read(): Promise<void> {
    throw new Error('T5 reads its prompts in one go');
  }

  async step(rows: readonly (DecoderRow | null)[], onLogits: OnLogits): Promise<void> {
    for (const store of [this.#cache, this.#cross]) store.trim(even(rows.length));
    const all = rows.map((row) => row ?? { token: this.#start, past: 0 });
    await this.#decode(0, all, onLogits);
  }

  copy(from: number, to: number, positions: Range): void {
    this.#cache.reserve({ slots: to + 1, positions: positions.end });
    this.#cache.copy(from, to, positions);
    if (positions.start > 0) return;
    const length = this.#crossLengths[from] as number;
    this.#cross.reserve({ slots: to + 1, positions: length });
    this.#cross.copy(from, to, { start: 0, end: length });
    this.#crossLengths[to] = length;
  }

  reset(): void {
    this.#cache.reset();
    this.#cross.reset();
  }

  async release(): Promise<void> {
    this.#cache.release();
    this.#cross.release();
    for (const part of [this.#encoder, this.#decoder, this.#allocator]) await part.release();
  }

  /** Writes what the encoder makes of the prompts into the cross cache. */
  async #encode(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<void> {
    const { num_query_tokens: queries, qformer_hidden: hidden, pad_token_id } = this.#manifest;
    const rows = prompts.length;
    const lengths = prompts.map(({ ids }) => queries + ids.length);
    const positions = even(Math.max(...lengths));
    this.#cross.reserve({ slots: firstSlot + rows, positions });
    const images = new Float32Array(rows * queries * hidden);
    for (const [row, { image }] of prompts.entries()) images.set(image, row * queries * hidden);
    const texts = prompts.map(({ ids }) => ids);
    const result = await this.#encoder.run({
      query_embeddings: new Tensor('float32', images, [rows, queries, hidden]),
      input_ids: paddedIds(texts, pad_token_id, positions - queries),
      lengths: new Tensor('int64', BigInt64Array.from(lengths, BigInt), [rows]),
    });
    using fresh = this.#cross.adopt(result.cross_keys_values);
    const mappings = lengths.map((length, row) => ({
      row,
      slot: firstSlot + row,
      start: 0,
      length,
    }));
    await this.#cross.put(fresh, mappings);
    for (const { slot, length } of mappings) this.#crossLengths[slot] = length;
  }

  async #decode(firstSlot: number, rows: readonly DecoderRow[], onLogits: OnLogits): Promise<void> {
    const count = even(rows.length);
    const idle = { token: this.#start, past: 0 };
    const all = Array.from({ length: count }, (_, i) => rows[i] ?? idle);
    const past = all.map((row) => row.past);
    const total = Math.max(...past) + 1;
    const slots = firstSlot + count;
    this.#cache.reserve({ slots, positions: total });
    this.#cross.reserve({ slots, positions: 1 });
    const int64 = (values: readonly number[], dims: number[]) =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
    const int32 = (values: readonly number[]) =>
      new Tensor('int32', Int32Array.from(values), [values.length]);
    const own = await this.#cache.feeds(firstSlot, count);
    const cross = await this.#cross.feeds(firstSlot, count);
    const result = await this.#decoder.run({
      input_ids: int64(
        all.map(({ token }) => token),
        [count, 1],
      ),
      position_ids: int64(past, [count, 1]),
      last_positions: int64(Array<number>(count).fill(0), [count]),
      seqlens_k: int32(past),
      // A row that fills up the number looks at one position of whatever its slot holds.
      cross_lengths: int32(all.map((_, i) => this.#crossLengths[firstSlot + i] ?? 1)),
      past_keys: own.keys,
      past_values: own.values,
      cross_keys: cross.keys,
      cross_values: cross.values,
    });
    using fresh = this.#cache.adopt(result.new_keys_values);
    const logits = result.logits.data as Float32Array;
    emitLogits((told) => onLogits(told.slice(0, rows.length)), logits, count);
    const mappings = rows.map(({ past: start }, row) => {
      return { row, slot: firstSlot + row, start, length: 1 };
    });
    await this.#cache.put(fresh, mappings);
  }
}
