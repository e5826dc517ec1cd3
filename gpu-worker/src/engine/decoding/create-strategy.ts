/** Chooses how a request is decoded. */
import { BeamSearch } from './beam-search.ts';
import { Sampling } from './sampling-strategy.ts';
import type { DecodingStrategy, StrategyOptions } from './strategy.ts';

/** A beam search where there are beams, else greedy decoding or sampling. */
export function createStrategy(options: StrategyOptions): DecodingStrategy {
  return options.config.num_beams > 1 ? new BeamSearch(options) : new Sampling(options);
}
