/** Texts as the retrieval model reads them. */
import { ApiError } from './errors.ts';
import type { RetrievalModel } from './served-models.ts';

/** The time to tokenize grows with the characters: this is far beyond what any text may have. */
const MAX_TEXT_CHARACTERS = 4096;

/**
 * Token ids of texts, [CLS] and [SEP] included.
 * @param field the member of the request that holds the texts
 * @param truncate whether what is too long is cut
 * @throws ApiError `prompt-too-long` naming the text, with its count and the limit
 */
export function retrievalIds(
  { max_positions: limit, cls_token_id, sep_token_id, tokenizer }: RetrievalModel,
  texts: readonly string[],
  field: string,
  truncate = false,
): number[][] {
  return texts.map((whole, i) => {
    const where = { field: texts.length > 1 ? `${field}.${i}` : field };
    const tooLong = (unit: string, most: number, actual: number) => {
      const detail = `${where.field} has ${actual} ${unit}; at most ${most} fit.`;
      return new ApiError('prompt-too-long', detail, { ...where, limit: most, actual });
    };
    const text = truncate ? whole.slice(0, MAX_TEXT_CHARACTERS) : whole;
    if (text.length > MAX_TEXT_CHARACTERS) {
      throw tooLong('characters', MAX_TEXT_CHARACTERS, text.length);
    }
    const tokens = tokenizer().encode(text);
    // Two are [CLS] and [SEP].
    const ids = [cls_token_id, ...(truncate ? tokens.slice(0, limit - 2) : tokens), sep_token_id];
    if (ids.length > limit) throw tooLong('tokens', limit, ids.length);
    return ids;
  });
}
