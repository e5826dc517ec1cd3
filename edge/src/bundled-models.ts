/** The models that this Worker was bundled with, from `edge/generated`. */
import instructionTokenizer from '../generated/instruction-tokenizer.json.txt';
import manifest from '../generated/model.json';
import retrievalTokenizer from '../generated/retrieval-tokenizer.json.txt';
import tokenizer from '../generated/tokenizer.json.txt';
import { type ServedModels, servedModels } from './model-manifest.ts';

export const bundledModels: ServedModels = servedModels(manifest, {
  generate: tokenizer,
  retrieve: retrievalTokenizer,
  instruction: instructionTokenizer,
});
