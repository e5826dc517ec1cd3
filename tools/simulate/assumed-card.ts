/** Service times of a card that nobody measured here: from its data sheet, and the share of it that kernels are assumed to reach. */
import type { Around, ServiceTimes } from './service-times.ts';

export type Card = {
  name: string;
  /** Of its memory, bytes a second. */
  bandwidth: number;
  /** Of half-precision matrices, operations a second. */
  operations: number;
};

/** NVIDIA's data sheet of the L4: 300 GB/s, and 121 dense TFLOP/s in half precision. */
export const L4: Card = { name: 'NVIDIA L4', bandwidth: 300e9, operations: 121e12 };

/** BLIP-2 with OPT-2.7B in half precision: weights of a decode step, and of image encoder and Q-Former; positions of an image. */
const DECODER = { parameters: 2.65e9, bytes: 2 };
const ENCODER = { parameters: 1.2e9, positions: 257 };
/** 32 positions of an image take 10.5 MB of the 192 MiB of `BLIP2_PREFIX_CACHE_MB`. */
const PROMPT = { newPositions: 44, knownPositions: 12, prefixImages: 18 };
/** Shares of the data sheet that are reached: what good kernels reach in memory, and in products as small as these. */
const REACHED = { bandwidth: 0.6, operations: 0.35 };
/** Beside the engine: reading the image and decoding it on a core; the way from the edge and back, ms. */
const WAY = { decode: 12, wait: 15 };
/** A row more of a step: its keys and values, its logits and its sampling, ms. */
const ROW_MS = 0.25;

/** @example assumedTimes(L4).engine.step[0].ms // [29.7] */
export function assumedTimes(card: Card): ServiceTimes {
  const bandwidth = card.bandwidth * REACHED.bandwidth;
  const operations = card.operations * REACHED.operations;
  const reading = (1000 * DECODER.parameters * DECODER.bytes) / bandwidth;
  /** A pass over so many positions: bound by reading the weights, or by products. */
  const pass = (positions: number, parameters: number, least: number) =>
    Math.max(least, (1000 * 2 * parameters * positions) / operations);
  const step = (rows: number) => reading + rows * ROW_MS;
  return {
    source: `assumed, not measured: ${Math.round(100 * REACHED.bandwidth)} % of the bandwidth and ${Math.round(100 * REACHED.operations)} % of the operations of the data sheet`,
    machine: card.name,
    model: 'BLIP-2 OPT-2.7B, half precision',
    threads: 1,
    cores: null,
    engine: {
      encode: [rounded(pass(ENCODER.positions, ENCODER.parameters, 0))],
      prefillNew: [rounded(pass(PROMPT.newPositions, DECODER.parameters, reading))],
      prefillKnown: [
        { rows: 1, ms: [rounded(step(1))] },
        { rows: 8, ms: [rounded(step(8))] },
      ],
      step: [
        { rows: 1, ms: [rounded(step(1))] },
        { rows: 32, ms: [rounded(step(32))] },
      ],
      ...PROMPT,
    },
    hit: way(0),
    miss: way(WAY.decode),
    token: NOTHING,
  };
}

const NOTHING = { client: 0, edge: 0, http: 0 };

function way(decode: number): Around {
  return {
    before: NOTHING,
    decode,
    beforeWait: WAY.wait,
    spread: [1],
    after: NOTHING,
    afterWait: 0,
    later: NOTHING,
  };
}

const rounded = (ms: number) => Number(ms.toFixed(2));
