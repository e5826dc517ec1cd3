/** Groups as the engine makes them, for tests of what handles groups. */
import { GenerationConfig } from '@blip2/shared/wire';
import { createStrategy } from '../decoding/create-strategy.ts';
import type { Prompt } from '../models/decoder.ts';
import { type EngineRequest, SequenceGroup } from '../sequence.ts';
import { promptAbout } from './fake-decoder.ts';

/** A request of an interactive client that is the first of all. */
export function requestOf(id: number, change: Partial<EngineRequest> = {}): EngineRequest {
  return {
    id,
    requestId: undefined,
    job: { kind: 'embed-texts', texts: [[2]] },
    client: '',
    ticket: { rank: 0, start: 0, cost: 1, arrival: id },
    submittedAt: 0,
    timings: {},
    ...change,
  };
}

export function groupOf(
  id: number,
  prompt: Prompt = promptAbout(0, 2, 3),
  config: Partial<GenerationConfig> = {},
): SequenceGroup {
  const strategy = createStrategy({
    config: GenerationConfig.parse({ max_tokens: 9, ...config }),
    promptIds: [],
    eosIds: [0],
  });
  return new SequenceGroup(requestOf(id), prompt, strategy);
}
