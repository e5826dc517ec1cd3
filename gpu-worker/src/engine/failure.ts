/** What a failure inside the engine is to the request that it ends. */
import { ApiError } from '@blip2/shared/errors';

/**
 * A problem as it is; of anything else the text stays in the log, as the cause: it may hold what is nobody's business.
 * @example asProblem(new Error('bad allocation')).slug // 'computation-failed'
 */
export function asProblem(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  return new ApiError(
    'computation-failed',
    'The model failed while it computed this request. Other requests are not affected.',
    { cause: thrown },
  );
}
