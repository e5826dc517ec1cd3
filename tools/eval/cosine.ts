/** Cosines of vectors. */

/** Least cosine of the rows of two tensors, float32 [rows, width]. */
export function leastCosine(a: Float32Array, b: Float32Array, width: number): number {
  const cosines = Array.from({ length: a.length / width }, (_, row) => {
    const cut = (all: Float32Array) => all.subarray(row * width, (row + 1) * width);
    return cosine(cut(a), cut(b));
  });
  return Math.min(...cosines);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [product, first, second] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    first += a[i]! ** 2;
    second += b[i]! ** 2;
  }
  return product / Math.sqrt(first * second);
}
