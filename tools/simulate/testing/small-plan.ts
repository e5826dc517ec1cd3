/** A plan that is played through in seconds. */
import { assumedTimes, L4 } from '../assumed-card.ts';
import type { Plan } from '../plan.ts';

export const plan: Plan = {
  times: assumedTimes(L4),
  worker: {
    maxSlots: 16,
    reserveSlots: 16,
    chunkTokens: 64,
    queueLimit: 64,
    decoders: 2,
    prefixImages: 18,
  },
  seed: 1,
  tokens: 20,
  images: 1000,
  skew: 1,
  cached: 500,
  fresh: 0.3,
};
