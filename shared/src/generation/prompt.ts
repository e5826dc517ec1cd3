/** What the model is asked: token ids, and how its text is generated. */
import type { GenerationConfig } from '../wire.ts';

export type Prompt = {
  /** Token ids with the model's control tokens; the image positions are not among them. */
  inputIds: number[];
  /** Token ids of the same text for a Q-Former that reads it. */
  instructionIds: number[] | undefined;
  generation: GenerationConfig;
  stopSequences: string[];
};
