/** Runs the graphs of an OPT bundle in the simplest way, for the parity tests with transformers. */
import { readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { type GraphSession, openGraph } from '@blip2/gpu-worker/runtime/session';
import { int32Tensor, int64Tensor } from '@blip2/gpu-worker/runtime/tensors';
import type { OptManifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { PROVIDER } from './provider.ts';

/** One row of a run: its new ids, and how many positions its slot holds. */
export type Row = { slot: number; ids: number[]; past: number };

/** Query embeddings of a run, float32 [rows, image positions, width]; none for text alone. */
type ImagePositions = { count: number; values: Float32Array };

const NO_IMAGE: ImagePositions = { count: 0, values: new Float32Array(0) };

/** Fills cache positions that were never written: a result that depended on them would be far off. */
const UNWRITTEN = 1e6;

/** KV cache of one slot: for each layer key and value, float32 [heads, length, head_dim]. */
type SlotCache = Float32Array[];

type Sessions = {
  [Name in keyof OptManifest['graphs']]: GraphSession<OptManifest['graphs'][Name]>;
};

export class BundleRunner {
  readonly manifest: OptManifest;
  readonly #sessions: Sessions;
  readonly #slots = new Map<number, SlotCache>();

  private constructor(manifest: OptManifest, sessions: Sessions) {
    this.manifest = manifest;
    this.#sessions = sessions;
  }

  static async load(bundle: string): Promise<BundleRunner> {
    const manifest = await readGenerativeManifest(bundle);
    if (manifest.family !== 'opt') throw new Error('runs bundles of the family opt');
    const { vision, qformer, decoder } = manifest.graphs;
    const options = { executionProvider: PROVIDER, threads: 2 };
    return new BundleRunner(manifest, {
      vision: await openGraph(bundle, vision, options),
      qformer: await openGraph(bundle, qformer, options),
      decoder: await openGraph(bundle, decoder, options),
    });
  }

  /** @param pixels float32 [images, 3, side, side] */
  async encode(pixels: Float32Array, images: number) {
    const side = this.manifest.image.size;
    const { image_features } = await this.#sessions.vision.run({
      pixels: new Tensor('float32', pixels, [images, 3, side, side]),
    });
    const { query_embeddings } = await this.#sessions.qformer.run({ image_features });
    return {
      imageFeatures: image_features.data as Float32Array,
      queryEmbeddings: query_embeddings.data as Float32Array,
    };
  }

  /**
   * One run of the decoder; writes the new keys and values into the rows' slots.
   * @param padTo positions of the run, if more than the longest row needs
   * @returns logits of each row's last position
   */
  async decode(rows: readonly Row[], images = NO_IMAGE, padTo = 0): Promise<Float32Array[]> {
    const { decoder, qformer_hidden: width } = this.manifest;
    const lengths = rows.map(({ ids }) => images.count + ids.length);
    const positions = Math.max(...lengths, padTo);
    const text = positions - images.count;
    const ends = rows.map(({ past }) => past + positions);
    const cacheLength = Math.max(...ends, decoder.max_positions);
    const lastCount = rows.length % 2 === 0 ? 1 : 2;
    const grid = (value: (row: Row, j: number) => number, count: number) =>
      rows.flatMap((row) => Array.from({ length: count }, (_, j) => value(row, j)));
    const inputs = {
      query_embeddings: new Tensor('float32', images.values, [rows.length, images.count, width]),
      input_ids: int64Tensor(
        grid(({ ids }, j) => ids[j] ?? this.manifest.pad_token_id, text),
        [rows.length, text],
      ),
      position_ids: int64Tensor(
        grid(({ past }, j) => Math.min(past + j, decoder.max_positions - 1), positions),
        [rows.length, positions],
      ),
      last_positions: int64Tensor(
        lengths.flatMap((length) => Array<number>(lastCount).fill(length - 1)),
        [rows.length, lastCount],
      ),
      seqlens_k: int32Tensor(ends.map((end) => end - 1)),
      total_sequence_length: int32Tensor([Math.max(...ends)]),
    };
    const caches = rows.map(({ slot }) => this.#slotCache(slot));
    const { layers, heads, head_dim: size, max_positions: capacity } = decoder;
    const planes: { keys: Tensor[]; values: Tensor[] } = { keys: [], values: [] };
    for (let i = 0; i < layers; i++) {
      [planes.keys, planes.values].forEach((part, kv) => {
        const past = new Float32Array(rows.length * heads * cacheLength * size).fill(UNWRITTEN);
        caches.forEach((cache, row) => {
          for (let head = 0; head < heads; head++) {
            const from = cache[2 * i + kv]!.subarray(
              head * capacity * size,
              (head + 1) * capacity * size,
            );
            past.set(from, (row * heads + head) * cacheLength * size);
          }
        });
        const dims = [rows.length, heads, cacheLength, size];
        part.push(new Tensor('float32', past, dims));
      });
    }
    const { logits, new_keys_values } = await this.#sessions.decoder.run({
      ...inputs,
      past_keys: planes.keys,
      past_values: planes.values,
    });
    const ofAllHeads = heads * size;
    for (let plane = 0; plane < 2 * layers; plane++) {
      const fresh = new_keys_values[Math.floor(plane / 2)]!.data as Float32Array;
      for (const [row, { past }] of rows.entries()) {
        for (let j = 0; j < lengths[row]!; j++) {
          for (let head = 0; head < heads; head++) {
            const from = ((row * positions + j) * 2 + (plane % 2)) * ofAllHeads + head * size;
            const to = (head * capacity + past + j) * size;
            caches[row]![plane]!.set(fresh.subarray(from, from + size), to);
          }
        }
      }
    }
    const all = logits.data as Float32Array;
    return rows.map((_, row) => all.slice(row * decoder.vocab, (row + 1) * decoder.vocab));
  }

  /** Makes `to` a copy of `from`, as a cached prefix is restored for the next question about an image. */
  copySlot(from: number, to: number): void {
    this.#slots.set(
      to,
      this.#slotCache(from).map((values) => values.slice()),
    );
  }

  clear(): void {
    this.#slots.clear();
  }

  async release(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  #slotCache(slot: number): SlotCache {
    const existing = this.#slots.get(slot);
    if (existing !== undefined) return existing;
    const { layers, heads, head_dim, max_positions } = this.manifest.decoder;
    const cache = Array.from({ length: 2 * layers }, () =>
      new Float32Array(heads * max_positions * head_dim).fill(UNWRITTEN),
    );
    this.#slots.set(slot, cache);
    return cache;
  }
}
