/** A gate between threads: an engine's decoder passes it as often as a test lets it. */
import type { EngineOptions } from '../protocol.ts';

/** Module that an engine client starts with `GatedOptions`. */
export const GATED_THREAD = new URL('./gated-thread.ts', import.meta.url);

/** One int32 that both threads share: how many passes may begin. */
export type Gate = Int32Array<SharedArrayBuffer>;

export type GatedOptions = EngineOptions & { gate: Gate };

const OPEN = 2 ** 30;

/** A gate that is open. */
export function createGate(): Gate {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  gate[0] = OPEN;
  return gate;
}

/** Lets no more than so many passes begin from now on. */
export function allowPasses(gate: Gate, passes: number): void {
  Atomics.store(gate, 0, passes);
  Atomics.notify(gate, 0);
}

export function openGate(gate: Gate): void {
  allowPasses(gate, OPEN);
}

/** Waits until a pass may begin. */
export async function passGate(gate: Gate): Promise<void> {
  while (Atomics.load(gate, 0) === 0) await Atomics.waitAsync(gate, 0, 0).value;
  Atomics.sub(gate, 0, 1);
}
