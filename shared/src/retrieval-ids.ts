/** Texts as the retrieval model reads them. */
import { ApiError } from './errors.ts';
import type { RetrievalModel } from './served-models.ts';

/** The time to tokenize grows with the characters: this is far beyond what any text may have. */
const MAX_CHARACTERS = 4096;
/** Characters of a text of which the rest is left out. */
const MAX_CUT_CHARACTERS = 16_384;
/** Most tokens of one word: longer ones are a single token. */
const WORD_TOKENS = 100;

/** The end of a text that is left out. */
export type Cut = 'left' | 'right';

/**
 * Token ids of texts, [CLS] and [SEP] included.
 * @param field the member of the request that holds the texts
 * @param cut the end at which a text that is too long is cut; undefined where that is an error
 * @throws ApiError `prompt-too-long` naming the text, with its count and the limit
 */
export function retrievalIds(...of: Parameters<typeof eachRetrievalIds>): number[][] {
  return [...eachRetrievalIds(...of)];
}

/** The same, a text at a time, for those who have to pause between them. */
export function* eachRetrievalIds(
  { max_positions: limit, cls_token_id, sep_token_id, tokenizer }: RetrievalModel,
  texts: readonly string[],
  field: string,
  cut?: Cut,
): Generator<number[], void, undefined> {
  const most = cut === undefined ? MAX_CHARACTERS : MAX_CUT_CHARACTERS;
  for (const [i, whole] of texts.entries()) {
    const where = { field: texts.length > 1 ? `${field}.${i}` : field };
    const tooLong = (unit: string, most: number, actual: number) => {
      const detail = `${where.field} has ${actual} ${unit}; at most ${most} fit.`;
      return new ApiError('prompt-too-long', detail, { ...where, limit: most, actual });
    };
    const text = cutTo(most, whole, cut);
    if (text.length > most) throw tooLong('characters', most, text.length);
    // Two are [CLS] and [SEP].
    const room = limit - 2;
    const tokens = tokenizer().encode(text);
    // The word in which the characters end may be another than that of the whole text: it has to be left out, too.
    const isExact = text.length === whole.length || tokens.length - WORD_TOKENS >= room;
    if (!isExact) throw tooLong('characters', most, whole.length);
    const ids = [cls_token_id, ...cutTo(room, tokens, cut), sep_token_id];
    if (ids.length > limit) throw tooLong('tokens', limit, ids.length);
    yield ids;
  }
}

/** At most so many characters or tokens. */
function cutTo<Sequence extends { length: number; slice(from: number, to?: number): Sequence }>(
  limit: number,
  whole: Sequence,
  cut: Cut | undefined,
): Sequence {
  if (cut === undefined || whole.length <= limit) return whole;
  return cut === 'right' ? whole.slice(0, limit) : whole.slice(whole.length - limit);
}
