/** Hands a run's logits to whoever waits for them, and frees them. */
import { giveBack, rowsOf } from '../../runtime/tensors.ts';
import type { OnLogits } from './decoder.ts';

/** @param logits float32 [rows, vocab]; of no use afterwards */
export function emitLogits(onLogits: OnLogits, logits: Float32Array, rows: number): void {
  onLogits(rowsOf(logits, rows));
  giveBack(logits);
}
