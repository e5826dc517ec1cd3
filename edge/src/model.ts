/** The model this edge was bundled for: its numbers and its tokenizer. */
import { EdgeModel } from '@blip2/shared/edge-model';
import { createTokenizer, type TextTokenizer } from '@blip2/shared/tokenizer';
import modelJson from '../generated/model.json';
import tokenizerJson from '../generated/tokenizer.json.txt';

export const model: EdgeModel = EdgeModel.parse(modelJson);

let built: TextTokenizer | undefined;

/** Built on first use: a GPT-2-sized vocabulary takes longer than a Worker's start-up should. */
export function tokenizer(): TextTokenizer {
  built ??= createTokenizer(tokenizerJson);
  return built;
}
