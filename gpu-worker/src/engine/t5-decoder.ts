/** Runs language projection and T5 (builder/README.md): the encoder once a prompt, the decoder a token at a time. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder, DecoderPrompt, DecoderRow } from './decoder.ts';
import { KvCache } from './kv-cache.ts';
import type { EngineOptions } from './messages.ts';
import type { DecoderMemory } from './observation.ts';
import { openGraph } from './session.ts';
import { even, paddedIds, rowsOf } from './tensors.ts';

export class T5Decoder implements Decoder {
  readonly #manifest: GenerateManifest;
  readonly #start: number;
  readonly #encoder: InferenceSession;
  readonly #decoder: InferenceSession;
  readonly #cache: KvCache;
  /** Keys and values of the encoder's output, for cross-attention. */
  readonly #cross: KvCache;
  /** Encoder positions of each slot. */
  readonly #crossLengths: number[] = [];

  private constructor(
    { manifest }: EngineOptions,
    encoder: InferenceSession,
    decoder: InferenceSession,
  ) {
    const { layers, heads, head_dim, max_positions } = manifest.decoder;
    const shape = { layers, heads, headDim: head_dim, maxPositions: max_positions };
    this.#manifest = manifest;
    this.#start = manifest.decoder_start_token_id ?? manifest.pad_token_id;
    this.#encoder = encoder;
    this.#decoder = decoder;
    this.#cache = new KvCache(shape);
    this.#cross = new KvCache(shape);
  }

  static async load(options: EngineOptions): Promise<T5Decoder> {
    const encoder = await openGraph(options, 'encoder', 'quiet');
    return new T5Decoder(options, encoder, await openGraph(options, 'decoder', 'spins'));
  }

  get memory(): DecoderMemory {
    return { kvBytes: this.#cache.bytes + this.#cross.bytes };
  }

  /** The start token. */
  positionsOf(): number {
    return 1;
  }

  seenOf(): number[] {
    return [this.#start];
  }

  async prefill(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    await this.#encode(firstSlot, prompts);
    return this.#decode(
      firstSlot,
      prompts.map(() => ({ token: this.#start, past: 0 })),
    );
  }

  /** The encoder looks both ways: it reads a prompt in one go. */
  firstPiece(prompt: DecoderPrompt): { piece: DecoderPrompt; computed: number } {
    return { piece: prompt, computed: this.#manifest.num_query_tokens + prompt.ids.length };
  }

  /** What the encoder makes of a position hangs on all that follows: no two prompts have any in common. */
  keep(): void {}

  async read(): Promise<Float32Array> {
    throw new Error('T5 reads its prompts in one go');
  }

  step(rows: readonly (DecoderRow | null)[]): Promise<Float32Array[]> {
    return this.#decode(
      0,
      rows.map((row) => row ?? { token: this.#start, past: 0 }),
    );
  }

  copy(from: number, to: number, positions: { start: number; end: number }): void {
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
    for (const session of [this.#encoder, this.#decoder]) await session.release();
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
      image_embeddings: new Tensor('float32', images, [rows, queries, hidden]),
      input_ids: paddedIds(texts, pad_token_id, positions - queries),
      lengths: new Tensor('int64', BigInt64Array.from(lengths, BigInt), [rows]),
    });
    const fresh = result.cross_kv?.data as Float32Array;
    for (const [row, length] of lengths.entries()) {
      const slot = firstSlot + row;
      this.#cross.write(fresh, { row, rows, positions }, { slot, start: 0, length });
      this.#crossLengths[slot] = length;
    }
  }

  async #decode(firstSlot: number, rows: readonly DecoderRow[]): Promise<Float32Array[]> {
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
    const result = await this.#decoder.run({
      input_ids: int64(
        all.map(({ token }) => token),
        [count, 1],
      ),
      position_ids: int64(past, [count, 1]),
      last_index: int64(Array<number>(count).fill(0), [count]),
      seqlens_k: int32(past),
      // A row that fills up the number looks at one position of whatever its slot holds.
      cross_lengths: int32(all.map((_, i) => this.#crossLengths[firstSlot + i] ?? 1)),
      ...this.#cache.feeds('past', firstSlot, count),
      ...this.#cross.feeds('cross', firstSlot, count),
    });
    const fresh = result.new_kv?.data as Float32Array;
    for (const [row, { past: start }] of rows.entries()) {
      const place = { slot: firstSlot + row, start, length: 1 };
      this.#cache.write(fresh, { row, rows: count, positions: 1 }, place);
    }
    return rowsOf(result.logits?.data as Float32Array, count).slice(0, rows.length);
  }
}
