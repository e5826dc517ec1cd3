/**
 * How large the results of a job may be together: a line of a hundred bytes may ask for embeddings of half a megabyte that are
 * cached, and so cost no GPU. What embeddings will have is known before; of all else a part ends when it has its share.
 */
import type { Dependencies } from '../dependencies.ts';
import type { JobOrder, LineError } from './contract.ts';

/** As much as the files of one owner. */
const MAX_RESULT_BYTES = 20 * 2 ** 30;
/** Of a part, where it is known before: its object stores them until they are in the bucket. */
const PART_RESULT_BYTES = 256 * 2 ** 20;
/** Of any part: its object has 10 GB for them and its lines, and one put to the bucket no more than 5 GiB. */
const MAX_PART_BYTES = 2 * 2 ** 30;
/** A float32 as JSON writes it, with its comma, and what a line has beside them. */
const VALUE_BYTES = 20;
const LINE_BYTES = 1024;

type Order = Pick<JobOrder, 'kind' | 'url' | 'settings'>;
type Stores = Pick<Dependencies, 'stores'>;

/** About how large a result is; null where nobody knows. Items may ask for another kind than their job. */
function resultBytes({ kind: form, url, settings }: Order, { stores }: Stores): number | null {
  if (form !== 'job' || url !== '/v1/embeddings') return null;
  const store = settings.kind === 'itc' ? stores.itc : stores.query;
  if (store === undefined) return null;
  const { numQueries, hidden } = store.shape;
  return VALUE_BYTES * numQueries * hidden + LINE_BYTES;
}

/** Most items of a part. @param most where their results are small */
export function partItems(order: Order, stores: Stores, most: number): number {
  const bytes = resultBytes(order, stores);
  return bytes === null ? most : Math.max(1, Math.min(most, Math.floor(PART_RESULT_BYTES / bytes)));
}

/** What is wrong with a job of so many items, if anything is. */
export function resultsTooLarge(order: Order, stores: Stores, items: number): LineError | null {
  const bytes = resultBytes(order, stores);
  if (bytes === null || items * bytes <= MAX_RESULT_BYTES) return null;
  const most = Math.floor(MAX_RESULT_BYTES / bytes);
  const message = `The embeddings of its ${items} items would have more than the 20 GiB that results of a job may have together: make several of it, of ${most} items at most.`;
  return { line: null, code: 'results_too_large', message, param: null };
}

/** Of the results of a part, as many bytes as it has of the items, and 2 GiB at most. */
export function shareOf(items: number, total: number): number {
  const share = Math.ceil(MAX_RESULT_BYTES * (items / Math.max(items, total)));
  return Math.min(share, MAX_PART_BYTES);
}

/** Of an item whose part has its share: it is not run. */
export const RESULTS_FULL = {
  code: 'results_too_large',
  message:
    'The results of this job have 20 GiB together, or those of this part of it its share, 2 GiB at most: make several jobs of it.',
};
