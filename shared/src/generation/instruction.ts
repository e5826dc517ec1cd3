/** The instruction that InstructBLIP's Q-Former reads beside the image: the whole prompt, in its own tokens. */
import { ApiError } from '../errors.ts';
import { DEFAULT_INSTRUCTION } from '../prompts.ts';
import type { GenerativeModel } from '../served-models.ts';
import type { EmbeddingKind } from '../wire.ts';

/** The prompt's text as the model gets it: one that reads an instruction is never without. */
export function instructed({ instruction }: GenerativeModel, text: string): string {
  return instruction !== undefined && text.trim() === '' ? DEFAULT_INSTRUCTION : text;
}

/** The time to tokenize grows with the characters: this is far beyond what any context holds. */
const MAX_CHARACTERS = 4096;

/**
 * @param where the member of the request that holds the text, where there is one
 * @throws ApiError `prompt-too-long` for a text that is not worth tokenizing
 */
export function expectShort(text: string, where: { field?: string }): void {
  if (text.length <= MAX_CHARACTERS) return;
  const limits = { limit: MAX_CHARACTERS, actual: text.length };
  throw promptTooLong('characters', { ...where, ...limits });
}

export function promptTooLong(
  unit: string,
  where: { field?: string; limit: number; actual: number },
): ApiError {
  const remedy = where.field === 'history' ? ' Leave out the oldest turns.' : '';
  const detail = `The text has ${where.actual} ${unit}; beside the image there is room for ${where.limit}.${remedy}`;
  return new ApiError('prompt-too-long', detail, where);
}

/**
 * Token ids of a text for the Q-Former, [CLS] and [SEP] included; undefined where it reads the image alone.
 * @param where the member of the request that holds the text, where there is one
 * @throws ApiError `prompt-too-long` with the count and the limit
 */
export function instructionIds(
  { instruction }: GenerativeModel,
  text: string,
  where: { field?: string },
): number[] | undefined {
  if (instruction === undefined) return undefined;
  const { cls_token_id, sep_token_id, max_positions: limit, tokenizer } = instruction;
  const ids = [cls_token_id, ...tokenizer().encode(text), sep_token_id];
  if (ids.length <= limit) return ids;
  const detail = `The text has ${ids.length} tokens for the Q-Former, which reads at most ${limit}.`;
  throw new ApiError('prompt-too-long', detail, { ...where, limit, actual: ids.length });
}

/**
 * What a request for embeddings of an image says the Q-Former shall read beside it.
 * @throws ApiError when these embeddings depend on no instruction, or it is too long
 */
export function embeddingInstruction(
  model: GenerativeModel,
  { kind, instruction }: { kind: EmbeddingKind; instruction?: string | undefined },
): number[] | undefined {
  const field = 'instruction';
  if (kind === 'query' && model.instruction !== undefined) {
    const text = instructed(model, instruction ?? '');
    expectShort(text, { field });
    return instructionIds(model, text, { field });
  }
  if (instruction === undefined) return undefined;
  const whose = kind === 'itc' ? 'ITC embeddings' : `the embeddings of ${model.name}`;
  const detail = `${field}: ${whose} are those of the image alone: leave it out.`;
  throw new ApiError('invalid-request', detail, { field });
}
