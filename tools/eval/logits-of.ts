import type { OnLogits } from '@blip2/gpu-worker/engine/models/decoder';

/** A copy of the logits of a run of a decoder, once it is over. */
export async function logitsOf(
  run: (onLogits: OnLogits) => Promise<void>,
): Promise<Float32Array[]> {
  let logits: Float32Array[] = [];
  await run((values) => {
    logits = values.map((row) => row.slice());
  });
  return logits;
}
