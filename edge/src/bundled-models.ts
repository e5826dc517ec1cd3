/** The models that this Worker was bundled with, from `edge/generated`. */

import { type ServedModels, servedModels } from '@blip2/shared/served-models';
import instructionTokenizer from '../generated/instruction-tokenizer.json.txt';
import manifest from '../generated/model.json';
import retrievalTokenizer from '../generated/retrieval-tokenizer.json.txt';
import tokenizer from '../generated/tokenizer.json.txt';

export const bundledModels: ServedModels = servedModels(manifest, {
  generate: tokenizer,
  retrieve: retrievalTokenizer,
  instruction: instructionTokenizer,
});
