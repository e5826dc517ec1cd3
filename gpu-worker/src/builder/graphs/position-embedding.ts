/** The image encoder's learned positions, interpolated for images of another size. */
import type { VisionConfig } from '../config/model-config.ts';
import { asWeight, transformedWeight } from '../weights/weights.ts';
import type { Layers } from './layers.ts';

/**
 * [1, patches + 1, width] for images of `side` pixels. The class token keeps its position; those of the patches
 * are a grid that is resized, as transformers does with `interpolate_pos_encoding`.
 */
export function positionEmbedding(layers: Layers, config: VisionConfig, side: number): string {
  const { hidden_size: width, patch_size: patch, image_size } = config;
  const name = 'vision_model.embeddings.position_embedding';
  const [from, to] = [image_size / patch, side / patch];
  const learned = layers.checkpoint.tensor(name, [1, from ** 2 + 1, width]);
  if (from === to) return layers.graph.weight(name, asWeight(learned));
  const interpolated = transformedWeight(learned, [1, to ** 2 + 1, width], (values) =>
    resizePositions(values, { from, to, width }),
  );
  return layers.graph.weight(name, interpolated);
}

type Grids = { from: number; to: number; width: number };

/** [from² + 1, width] → [to² + 1, width]; the first row, the class token's, stays. */
export function resizePositions(positions: Float32Array, grids: Grids): Float32Array {
  const { to, width } = grids;
  const resized = new Float32Array((to ** 2 + 1) * width);
  resized.set(positions.subarray(0, width));
  resized.set(resizeGrid(positions.subarray(width), grids), width);
  return resized;
}

/** Bicubic as `torch.nn.functional.interpolate` does it: align_corners false, edges repeated. */
function resizeGrid(grid: Float32Array, { from, to, width }: Grids): Float32Array {
  const taps = Array.from({ length: to }, (_, i) => tapsOf(i, from, to));
  const columns = new Float64Array(from * to * width);
  for (let y = 0; y < from; y++) {
    for (const [x, tap] of taps.entries()) {
      for (const { index, weight } of tap) {
        const [source, target] = [(y * from + index) * width, (y * to + x) * width];
        for (let d = 0; d < width; d++) columns[target + d]! += weight * grid[source + d]!;
      }
    }
  }
  const result = new Float64Array(to * to * width);
  for (const [y, tap] of taps.entries()) {
    for (const { index, weight } of tap) {
      const [source, target] = [index * to * width, y * to * width];
      for (let d = 0; d < to * width; d++) result[target + d]! += weight * columns[source + d]!;
    }
  }
  return Float32Array.from(result);
}

/** Sharpness of torch's cubic kernel. */
const A = -0.75;

function tapsOf(position: number, from: number, to: number) {
  const at = ((position + 0.5) * from) / to - 0.5;
  const base = Math.floor(at);
  const t = at - base;
  const near = (x: number) => ((A + 2) * x - (A + 3)) * x * x + 1;
  const far = (x: number) => ((A * x - 5 * A) * x + 8 * A) * x - 4 * A;
  const weights = [far(t + 1), near(t), near(1 - t), far(2 - t)];
  return weights.map((weight, k) => ({
    weight,
    index: Math.min(from - 1, Math.max(0, base - 1 + k)),
  }));
}
