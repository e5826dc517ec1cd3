/** The models this Worker was bundled for: what `edge/generated` holds. */
import manifest from '../generated/model.json';
import retrievalTokenizer from '../generated/retrieval-tokenizer.json.txt';
import tokenizer from '../generated/tokenizer.json.txt';
import { type ServedModels, servedModels } from './model-manifest.ts';

export const bundledModels: ServedModels = servedModels(manifest, {
  generate: tokenizer,
  retrieve: retrievalTokenizer,
});
