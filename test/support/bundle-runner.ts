/** Runs the graphs of a bundle in the plainest way: what the parity tests compare with transformers. */
import { readGenerateManifest } from '@blip2/gpu-worker/builder/index';
import { openGraph } from '@blip2/gpu-worker/runtime/session';
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { PROVIDER } from '../../tools/eval/execution-provider.ts';

/** One row of a run: what is new, and how many positions its cache holds. */
export type Row = { slot: number; ids: number[]; past: number };

/** Query embeddings of a run, float32 [rows, image positions, width]; none for text alone. */
type ImagePositions = { count: number; values: Float32Array };

const NO_IMAGE: ImagePositions = { count: 0, values: new Float32Array(0) };

/** What cache rows hold that were never written: a result that minds it shows. */
const UNWRITTEN = 1e6;

/** KV cache of one slot: for each layer key and value, float32 [heads, length, head_dim]. */
type SlotCache = Float32Array[];

export class BundleRunner {
  readonly manifest: GenerateManifest;
  readonly #sessions: {
    vision: InferenceSession;
    qformer: InferenceSession;
    decoder: InferenceSession;
  };
  readonly #slots = new Map<number, SlotCache>();

  private constructor(
    manifest: GenerateManifest,
    sessions: { vision: InferenceSession; qformer: InferenceSession; decoder: InferenceSession },
  ) {
    this.manifest = manifest;
    this.#sessions = sessions;
  }

  static async load(bundle: string): Promise<BundleRunner> {
    const open = (name: string) =>
      openGraph({ bundle, executionProvider: PROVIDER, threads: 2 }, name);
    return new BundleRunner(await readGenerateManifest(bundle), {
      vision: await open('vision'),
      qformer: await open('qformer'),
      decoder: await open('decoder'),
    });
  }

  /** @param pixels float32 [images, 3, side, side] */
  async encode(pixels: Float32Array, images: number) {
    const side = this.manifest.image.size;
    const { image_features } = await this.#sessions.vision.run({
      pixel_values: new Tensor('float32', pixels, [images, 3, side, side]),
    });
    const { query_embeddings } = await this.#sessions.qformer.run({
      image_features: image_features!,
    });
    return {
      imageFeatures: image_features!.data as Float32Array,
      queryEmbeddings: query_embeddings!.data as Float32Array,
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
    const picked = rows.length % 2 === 0 ? 1 : 2;
    const int64 = (values: number[], dims: number[]) =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
    const grid = (value: (row: Row, j: number) => number, count: number) =>
      rows.flatMap((row) => Array.from({ length: count }, (_, j) => value(row, j)));
    const feeds: Record<string, Tensor> = {
      image_embeddings: new Tensor('float32', images.values, [rows.length, images.count, width]),
      input_ids: int64(
        grid(({ ids }, j) => ids[j] ?? this.manifest.pad_token_id, text),
        [rows.length, text],
      ),
      position_ids: int64(
        grid(({ past }, j) => Math.min(past + j, decoder.max_positions - 1), positions),
        [rows.length, positions],
      ),
      last_index: int64(
        lengths.flatMap((length) => Array<number>(picked).fill(length - 1)),
        [rows.length, picked],
      ),
      seqlens_k: new Tensor(
        'int32',
        Int32Array.from(ends, (end) => end - 1),
        [rows.length],
      ),
      total_sequence_length: new Tensor('int32', Int32Array.of(Math.max(...ends)), [1]),
    };
    const caches = rows.map(({ slot }) => this.#slotCache(slot));
    const { layers, heads, head_dim: size, max_positions: kept } = decoder;
    for (let i = 0; i < layers; i++) {
      ['key', 'value'].forEach((part, kv) => {
        const past = new Float32Array(rows.length * heads * cacheLength * size).fill(UNWRITTEN);
        caches.forEach((cache, row) => {
          for (let head = 0; head < heads; head++) {
            const from = cache[2 * i + kv]!.subarray(head * kept * size, (head + 1) * kept * size);
            past.set(from, (row * heads + head) * cacheLength * size);
          }
        });
        const dims = [rows.length, heads, cacheLength, size];
        feeds[`past_${part}.${i}`] = new Tensor('float32', past, dims);
      });
    }
    const { logits, ...result } = await this.#sessions.decoder.run(feeds);
    const ofAllHeads = heads * size;
    for (let plane = 0; plane < 2 * layers; plane++) {
      const fresh = result[`new_kv.${Math.floor(plane / 2)}`]!.data as Float32Array;
      for (const [row, { past }] of rows.entries()) {
        for (let j = 0; j < lengths[row]!; j++) {
          for (let head = 0; head < heads; head++) {
            const from = ((row * positions + j) * 2 + (plane % 2)) * ofAllHeads + head * size;
            const to = (head * kept + past + j) * size;
            caches[row]![plane]!.set(fresh.subarray(from, from + size), to);
          }
        }
      }
    }
    const all = logits!.data as Float32Array;
    return rows.map((_, row) => all.slice(row * decoder.vocab, (row + 1) * decoder.vocab));
  }

  /** Makes `to` a copy of `from`: what the image positions of an image leave for its next question. */
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
    const known = this.#slots.get(slot);
    if (known !== undefined) return known;
    const { layers, heads, head_dim, max_positions } = this.manifest.decoder;
    const cache = Array.from({ length: 2 * layers }, () =>
      new Float32Array(heads * max_positions * head_dim).fill(UNWRITTEN),
    );
    this.#slots.set(slot, cache);
    return cache;
  }
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
