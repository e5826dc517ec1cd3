/** Bindings whose calls settle: what stores files, jobs and predictions may fail, and it may never answer. */
import { ApiError } from '@blip2/shared/errors';
import { TooSlowError, within } from './within.ts';

const RETRY_SECONDS = 5;

/**
 * A Durable Object each of whose calls rejects where it takes longer; the call itself goes on.
 * @param ms of one call, milliseconds
 * @throws ApiError its calls: `overloaded` where they are too slow, and what they throw
 */
export function settlingObject<Stub extends object>(stub: Stub, ms: number): Stub {
  return withCalls(stub, async (call) => await soon(ms, call));
}

/** Objects that are such. */
export function settlingObjects(
  namespace: DurableObjectNamespace,
  ms: number,
): Pick<DurableObjectNamespace, 'getByName'> {
  return { getByName: (name) => settlingObject(namespace.getByName(name), ms) };
}

/** Calls whose results have calls of their own: reading bytes, and uploading parts. */
const OPENING = new Set<PropertyKey>(['get', 'createMultipartUpload']);

/** A bucket of which that holds, with the objects and the uploads that it hands out. */
export function settlingBucket(bucket: R2Bucket, ms: number): R2Bucket {
  return withCalls(bucket, async (call, name) => {
    const result = await soon(ms, call);
    const isOpened = OPENING.has(name) && typeof result === 'object' && result !== null;
    return isOpened ? settlingObject(result, ms) : result;
  });
}

/** All of its functions are calls. */
function withCalls<Target extends object>(
  target: Target,
  settle: (call: Promise<unknown>, name: PropertyKey) => Promise<unknown>,
): Target {
  return new Proxy(target, {
    get: (_, name) => {
      // Its own, not the proxy's: the platform's objects know only themselves.
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => settle(Reflect.apply(member, target, given), name);
    },
  });
}

async function soon<T>(ms: number, call: Promise<T>): Promise<T> {
  try {
    return await within(ms, call, 'what stores files, jobs and predictions');
  } catch (cause) {
    if (!(cause instanceof TooSlowError)) throw cause;
    const detail = 'What stores files, jobs and predictions does not answer now; try again.';
    throw new ApiError('overloaded', detail, { cause, retry_after: RETRY_SECONDS });
  }
}
