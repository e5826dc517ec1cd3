/** Refuses numbers that are none: where a model overflows for one request, that request fails and no other. */
import { ApiError } from '@blip2/shared/errors';
import type { JobEvent } from './protocol.ts';

/**
 * @param values what a model computed for one request
 * @param what names it in the error: "logits"
 * @throws ApiError computation-failed where a value is NaN or infinite, or there is none
 */
export function expectFinite(values: ArrayLike<number> | undefined, what: string): void {
  if (values !== undefined && values.length > 0 && isFiniteRow(values)) return;
  throw new ApiError(
    'computation-failed',
    `The model's ${what} for this request are not finite numbers. Other requests are not affected.`,
  );
}

/** @throws ApiError computation-failed where the event has a number that is NaN or infinite */
export function expectFiniteEvent(event: JobEvent): void {
  if (event.type === 'embeddings') expectFinite(event.values, 'embeddings');
  if (event.type === 'texts') {
    for (const vector of event.embeddings) expectFinite(vector, 'embeddings');
  }
  if (event.type === 'scores') {
    for (const { itm, itc } of event.scores) expectFinite([itm, itc], 'scores');
  }
}

/** Whether no value is NaN or infinite. */
export function isFiniteRow(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) {
    // Infinite or NaN minus itself is NaN; a call for each of 50,000 logits would take longer.
    if ((values[i] as number) - (values[i] as number) !== 0) return false;
  }
  return true;
}
