/** The context of what an object looks up for no request in particular. */
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';

export function lookUpContext(
  { config, now }: Pick<Dependencies, 'config' | 'now'>,
  object: Pick<DurableObjectState, 'id' | 'waitUntil'>,
): RequestContext {
  const startedAt = now();
  return {
    requestId: `${object.id}`,
    namespace: '',
    startedAt,
    signal: new AbortController().signal,
    deadlineAt: startedAt + config.deadlineMs,
    waitUntil: (work) => object.waitUntil(work),
  };
}
