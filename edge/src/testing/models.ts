/** The models that the tests run with: those the Worker is bundled for, both of them. */

import { retrievalModel, type ServedModels } from '@blip2/shared/served-models';
import { bundledModels } from '../bundled-models.ts';

export const generative = bundledModels.generate;
export const retrieval = retrievalModel(bundledModels);

/** The same, with a Q-Former that reads at most so many tokens of an instruction. */
export function instructedModels(maxPositions: number): ServedModels {
  const { cls_token_id, sep_token_id, tokenizer } = retrieval;
  const instruction = { max_positions: maxPositions, cls_token_id, sep_token_id, tokenizer };
  return { ...bundledModels, generate: { ...generative, instruction } };
}
