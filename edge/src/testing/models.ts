/** The models that the tests run with: those the Worker is bundled for, both of them. */
import { bundledModels } from '../bundled-models.ts';
import { retrievalModel } from '../model-manifest.ts';

export const generative = bundledModels.generate;
export const retrieval = retrievalModel(bundledModels);
