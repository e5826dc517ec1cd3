/** Bits of the large weights: `gpu-worker/src/builder/precision.ts` lists those that have more. */
import * as z from 'zod/mini';

export const Precision = z.enum(['fp32', 'int8', 'int4']);
export type Precision = z.infer<typeof Precision>;
