/** ITC's similarities of all images with all texts: the best dot product of a text with the queries of an image. */

/** Filled an image at a time. */
export class Similarities {
  readonly #texts: number;
  /** Of texts one after the other, float32 [texts, width]. */
  readonly #batches: readonly Float32Array[];
  /** float32 [images, texts] */
  readonly #values: Float32Array;

  constructor(images: number, batches: readonly Float32Array[], texts: number) {
    this.#texts = texts;
    this.#batches = batches;
    this.#values = new Float32Array(images * texts);
  }

  /** Compares an image with all texts. @param queries float32 [queries, width] */
  fill(image: number, queries: Float32Array): void {
    const length = this.#batches.reduce((sum, batch) => sum + batch.length, 0);
    const width = length / this.#texts;
    let at = image * this.#texts;
    for (const batch of this.#batches) {
      for (let start = 0; start < batch.length; start += width) {
        this.#values[at++] = bestDot(queries, batch, start, width);
      }
    }
  }

  at(image: number, text: number): number {
    return this.#values[image * this.#texts + text]!;
  }

  ofImage(image: number): Float32Array {
    return this.#values.subarray(image * this.#texts, (image + 1) * this.#texts);
  }

  ofText(text: number): Float32Array {
    const images = this.#values.length / this.#texts;
    return Float32Array.from({ length: images }, (_, image) => this.at(image, text));
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
