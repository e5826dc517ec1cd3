/** Checks replies of the GPU worker: a problem, or frames that end as they should. */
import { Problem } from '@blip2/shared/errors';
import { readFrames } from '@blip2/shared/frames';
import { decodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { Violation } from '../violation.ts';
import type { HttpReply } from './exchange.ts';
import { expectNoLeak } from './leaks.ts';

/** What encoded embeddings begin with. */
const EMBEDDINGS = 'QFE';

type Circumstances = {
  /** What the reply may quote. */
  sent: string;
  /** Whether its time was over so soon that the request itself must have said so. */
  isShort?: boolean;
};

/**
 * @returns status and type of the problem
 * @throws Violation when the worker fails, shows its inside, or breaks the contract
 */
export async function checkFrames(reply: HttpReply, about: Circumstances): Promise<string> {
  const { status, text, bytes } = reply;
  if (status === 200) {
    const events: GpuEvent[] = [];
    for await (const frame of readFrames(ReadableStream.from([bytes])))
      events.push(decodeEvent(frame));
    const last = events.at(-1);
    if (last?.type === 'error') return problemOf(last.problem, about);
    if (last?.type !== 'done') throw new Violation(`a reply ends with ${last?.type ?? 'nothing'}`);
    return '200';
  }
  if (reply.headers.get('content-type') !== 'application/problem+json') {
    if (status >= 500)
      throw new Violation(`the worker fails with ${status}: ${text.slice(0, 300)}`);
    expectNoLeak(text, about.sent);
    return String(status);
  }
  const problem = Problem.safeParse(JSON.parse(text));
  if (!problem.success) throw new Violation(`a problem is none: ${text.slice(0, 300)}`);
  return problemOf(problem.data, about);
}

/** From embeddings that are finite and absurd nothing can be computed, and only the model can tell. */
function isOfEmbeddings({ type }: Problem, sent: string): boolean {
  return type.endsWith('/computation-failed') && sent.includes(EMBEDDINGS);
}

function problemOf(problem: Problem, { sent, isShort = false }: Circumstances): string {
  const { status, type } = problem;
  const outcome = `${status} ${type.replace(/^.*\//, '')}`;
  expectNoLeak(JSON.stringify(problem), sent);
  const isAnnounced = status === 503 || (status === 504 && isShort);
  if (status >= 500 && !isAnnounced && !isOfEmbeddings(problem, sent)) {
    throw new Violation(
      `the worker fails with ${outcome}: ${JSON.stringify(problem).slice(0, 300)}`,
    );
  }
  return outcome;
}
