/** Results of a job, from its parts. */
import type { Dependencies } from '../dependencies.ts';
import type { JobSnapshot, ResultLine, ResultQuery } from './contract.ts';

export async function* readResultLines(
  _deps: Dependencies,
  _id: string,
  _snapshot: JobSnapshot,
  _query: ResultQuery,
): AsyncGenerator<ResultLine, void, undefined> {}
