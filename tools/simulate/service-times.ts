/** How long each part of a request takes: measured and written down once, drawn from whenever a fleet is simulated. */
import * as z from 'zod/mini';
import type { Random } from '../load/random.ts';

/** Milliseconds, ascending, each as likely as the others. */
const Samples = z.array(z.number().check(z.nonnegative())).check(z.minLength(1));
export type Samples = z.infer<typeof Samples>;

/** The same by how many sequences take part, ascending. */
const ByRows = z
  .array(z.object({ rows: z.int().check(z.positive()), ms: Samples }))
  .check(z.minLength(1));
export type ByRows = z.infer<typeof ByRows>;

const milliseconds = z.number().check(z.nonnegative());

/** Processor time of a request in each process that it comes through, milliseconds. */
const Stages = z.object({ client: milliseconds, edge: milliseconds, http: milliseconds });
export type Stages = z.infer<typeof Stages>;

/** What a request takes beside the engine. */
const Around = z.object({
  /** Before the engine has it. */
  before: Stages,
  /** In a process that decodes images. */
  decode: milliseconds,
  /** On the way there, without a processor. */
  beforeWait: milliseconds,
  /** Requests differ: what edge and worker do before the engine has them is so many times as long. */
  spread: Samples,
  /** After the last token. */
  after: Stages,
  afterWait: milliseconds,
  /** When its reply has ended. */
  later: Stages,
});
export type Around = z.infer<typeof Around>;

export const ServiceTimes = z.object({
  /** Where they come from: the command that measured them, or what was assumed. */
  source: z.string(),
  machine: z.string(),
  model: z.string(),
  /** Threads of one worker's engine. */
  threads: z.int(),
  /** What one, two, … busy threads compute together, of what one alone does; null where each has a core of its own. */
  cores: z.nullable(z.array(z.number())),
  engine: z.object({
    /** Image encoder and Q-Former for one image. */
    encode: Samples,
    /** A prompt of which nothing is cached. */
    prefillNew: Samples,
    /** Prompts whose image positions are cached. */
    prefillKnown: ByRows,
    step: ByRows,
    /** Positions of a prompt that such a prefill computes. */
    newPositions: z.int(),
    knownPositions: z.int(),
    /** Images whose positions a prefix cache of the default size has room for. */
    prefixImages: z.int(),
  }),
  /** Of a request with embeddings, and of one with an image. */
  hit: Around,
  miss: Around,
  /** Of each token. */
  token: Stages,
});
export type ServiceTimes = z.infer<typeof ServiceTimes>;

export function draw(samples: Samples, random: Random): number {
  return samples[Math.floor(random() * samples.length)]!;
}

/**
 * Between two numbers of rows that were measured, what is between their times; beyond the last, as it grew before.
 * @example drawByRows([{ rows: 1, ms: [10] }, { rows: 3, ms: [20] }], 2, random) // 15
 */
export function drawByRows(table: ByRows, rows: number, random: Random): number {
  const share = random();
  const at = ({ ms }: ByRows[number]) => ms[Math.floor(share * ms.length)]!;
  const next = table.findIndex((entry) => entry.rows >= rows);
  const above = table[next === -1 ? table.length - 1 : next]!;
  const below = table[(next === -1 ? table.length - 1 : next) - 1];
  if (below === undefined || above.rows === rows) return at(above);
  const slope = (at(above) - at(below)) / (above.rows - below.rows);
  return Math.max(0, at(below) + slope * (rows - below.rows));
}

/** So many of them that stand for all: the middles of equal parts of their order. */
export function condensed(values: readonly number[], count = 32): Samples {
  const sorted = values.toSorted((a, b) => a - b);
  const size = Math.min(count, sorted.length);
  return Array.from({ length: size }, (_, i) => {
    const part = sorted.slice(
      Math.floor((i * sorted.length) / size),
      Math.floor(((i + 1) * sorted.length) / size),
    );
    // The mean of a part, so that the mean of all is what it was.
    return Number((part.reduce((sum, value) => sum + value, 0) / part.length).toFixed(3));
  });
}
