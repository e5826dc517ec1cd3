/** Checks replies of the GPU worker: a problem, or frames that end as they should. */
import { Problem } from '@blip2/shared/errors';
import { readFrames } from '@blip2/shared/frames';
import { decodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { Violation } from '../violation.ts';
import type { HttpReply } from './exchange.ts';
import { expectNoLeak } from './leaks.ts';

/** What encoded embeddings begin with. */
const EMBEDDINGS = 'QFE';

/**
 * @param sent what the reply may quote
 * @returns status and type of the problem
 * @throws Violation when the worker fails, shows its inside, or breaks the contract
 */
export async function checkFrames(reply: HttpReply, sent: string): Promise<string> {
  const { status, text, bytes } = reply;
  if (status === 200) {
    const events: GpuEvent[] = [];
    for await (const frame of readFrames(ReadableStream.from([bytes])))
      events.push(decodeEvent(frame));
    const last = events.at(-1);
    if (last?.type === 'error') return problemOf(last.problem, sent);
    if (last?.type !== 'done') throw new Violation(`a reply ends with ${last?.type ?? 'nothing'}`);
    return '200';
  }
  if (reply.headers.get('content-type') !== 'application/problem+json') {
    if (status >= 500)
      throw new Violation(`the worker fails with ${status}: ${text.slice(0, 300)}`);
    expectNoLeak(text, sent);
    return String(status);
  }
  const problem = Problem.safeParse(JSON.parse(text));
  if (!problem.success) throw new Violation(`a problem is none: ${text.slice(0, 300)}`);
  return problemOf(problem.data, sent);
}

/** From embeddings that are finite and absurd nothing can be computed, and only the model can tell. */
function isOfEmbeddings({ type }: Problem, sent: string): boolean {
  return type.endsWith('/computation-failed') && sent.includes(EMBEDDINGS);
}

function problemOf(problem: Problem, sent: string): string {
  const { status, type } = problem;
  const outcome = `${status} ${type.replace(/^.*\//, '')}`;
  expectNoLeak(JSON.stringify(problem), sent);
  if (status >= 500 && status !== 503 && !isOfEmbeddings(problem, sent)) {
    throw new Violation(
      `the worker fails with ${outcome}: ${JSON.stringify(problem).slice(0, 300)}`,
    );
  }
  return outcome;
}
