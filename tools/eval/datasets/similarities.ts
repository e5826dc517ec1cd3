/** ITC's similarities of all images with all texts: the best dot product of a text with the queries of an image. */
import { setImmediate } from 'node:timers/promises';

export class Similarities {
  readonly #images: number;
  readonly #texts: number;
  /** float32 [images, texts] */
  readonly #values: Float32Array;

  private constructor(images: number, texts: number, values: Float32Array) {
    this.#images = images;
    this.#texts = texts;
    this.#values = values;
  }

  /**
   * @param images of each image its queries, float32 [queries, width]
   * @param batches of texts one after the other, float32 [texts, width]; `texts` in all
   */
  static async of(
    images: readonly Float32Array[],
    batches: readonly Float32Array[],
    texts: number,
  ): Promise<Similarities> {
    const width = batches.reduce((sum, batch) => sum + batch.length, 0) / texts;
    const values = new Float32Array(images.length * texts);
    for (const [i, queries] of images.entries()) {
      let at = i * texts;
      for (const batch of batches) {
        for (let start = 0; start < batch.length; start += width) {
          values[at++] = bestDot(queries, batch, start, width);
        }
      }
      // Signals and the status line have their turn.
      await setImmediate();
    }
    return new Similarities(images.length, texts, values);
  }

  at(image: number, text: number): number {
    return this.#values[image * this.#texts + text]!;
  }

  ofImage(image: number): Float32Array {
    return this.#values.subarray(image * this.#texts, (image + 1) * this.#texts);
  }

  ofText(text: number): Float32Array {
    return Float32Array.from({ length: this.#images }, (_, image) => this.at(image, text));
  }
}

function bestDot(queries: Float32Array, texts: Float32Array, start: number, width: number): number {
  let best = -Infinity;
  for (let query = 0; query < queries.length; query += width) {
    let dot = 0;
    for (let i = 0; i < width; i++) dot += queries[query + i]! * texts[start + i]!;
    if (dot > best) best = dot;
  }
  return best;
}

/** Places of the `count` largest values, the largest first; of equal ones the earlier. */
export function largest(values: Float32Array, count: number): number[] {
  const places = Array.from(values, (_, i) => i);
  return places.sort((a, b) => values[b]! - values[a]! || a - b).slice(0, count);
}

/** Rows one after the other, little-endian float32 in base64. */
export function encodeFloats(rows: readonly (readonly number[])[]): string {
  return Buffer.from(new Float32Array(rows.flat()).buffer).toString('base64');
}

export function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return new Float32Array(bytes.buffer);
}
