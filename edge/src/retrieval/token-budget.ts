/** How much text one request may have embedded: what ends before its deadline on a small machine, as else all of the work is lost. */
import { ApiError } from '@blip2/shared/errors';
import { TEXTS_AT_ONCE } from '@blip2/shared/wire';

/** As many as 512 texts have, LangChain's batch, where each fills the context of the embedded model. */
export const MAX_EMBEDDED_TOKENS = 32_768;

/**
 * @param texts token ids of each, in the order in which they are run
 * @param field the member of the request that holds the texts
 * @throws ApiError `invalid-request` that says how many of them fit
 */
export function expectFewTokens(texts: readonly (readonly number[])[], field: string): void {
  let [tokens, fitting] = [0, 0];
  for (let start = 0; start < texts.length; start += TEXTS_AT_ONCE) {
    const batch = texts.slice(start, start + TEXTS_AT_ONCE);
    tokens += batch.length * Math.max(...batch.map(({ length }) => length));
    if (tokens <= MAX_EMBEDDED_TOKENS) fitting = start + batch.length;
  }
  if (tokens <= MAX_EMBEDDED_TOKENS) return;
  const detail =
    `${field}: the ${texts.length} texts have ${tokens} tokens, where each of ${TEXTS_AT_ONCE} in a row counts as the longest of them; ` +
    `at most ${MAX_EMBEDDED_TOKENS} of one request are embedded. Send them in several requests: the first ${fitting} fit in one.`;
  throw new ApiError('invalid-request', detail, {
    ...{ field, limit: MAX_EMBEDDED_TOKENS, actual: tokens },
  });
}
