/** Creating, reading, canceling and listing predictions, and reading one as it is made. */
import { ApiError } from '@blip2/shared/errors';
import { ListQuery, type PredictionList } from '@blip2/shared/schemas/replicate/prediction';
import { validate } from '@blip2/shared/validate';
import type { Dependencies } from '../../dependencies.ts';
import { readJsonObject } from '../../http/request-body.ts';
import {
  type Cursor,
  type PredictionOrder,
  type Predictions,
  type StoredPrediction,
  valueFrom,
} from '../../predictions/contract.ts';
import {
  type AppContext,
  type Handler,
  type IsThere,
  readingOf,
} from '../../routes/app-context.ts';
import { storedJson } from '../../routes/large-reply.ts';
import { namedIn } from './models.ts';
import { mayList, objectOf, ownObject, publicBase, signedObject, visitorIn } from './objects.ts';
import { orderOf } from './order.ts';
import { shownPrediction } from './present.ts';

/** What is stored is read again whenever it is asked for. */
const NOT_STORED = { 'cache-control': 'no-store' };

export const createPrediction: Handler = (c, deps) => create(c, deps);
export const createPredictionOfModel: Handler = (c, deps) => create(c, deps, namedIn(c));

async function create(c: AppContext, deps: Dependencies, named?: string): Promise<Response> {
  const seconds = waitSecondsOf(c.req.header('prefer'));
  const object = ownObject(c, deps, 1000 * (seconds ?? 0));
  const order = await orderOf(c, deps, await readJsonObject(c.req.raw, readingOf(c, deps)), named);
  const base = publicBase(c, deps);
  const reached = await created(c, object, order, seconds);
  c.get('onNamed')?.(reached.id);
  if (seconds === null) return c.json(shownPrediction(reached, base), 201, NOT_STORED);
  // A reply that is stored says something of it.
  if (reached.image !== null) c.get('onImage')?.(reached.image.path, reached.image.sentAt);
  if (reached.endedAt !== null) return c.json(shownPrediction(reached, base), 201, NOT_STORED);
  // Clients that wait take every other status for an end.
  const unfinished = { ...reached, status: 'starting' } as const;
  return c.json(shownPrediction(unfinished, base), 202, NOT_STORED);
}

/** The prediction as it begins, or of somebody who waits as it is at its end, or when the time is over. */
async function created(
  c: AppContext,
  object: Predictions,
  order: PredictionOrder,
  seconds: number | null,
): Promise<StoredPrediction> {
  if (seconds === null) return valueFrom(await object.create(order, null));
  // Of our own: a request id is what the client says it is.
  const waiter = crypto.randomUUID();
  const { signal } = c.req.raw;
  const leave = () => c.executionCtx.waitUntil(object.leave(waiter));
  // Calls arrive in their order: whoever leaves has waited.
  const creating = object.create(order, { waiter, ms: seconds * 1000 });
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave);
  try {
    return valueFrom(await creating);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

const LONGEST_WAIT_S = 60;

/**
 * How long a client wants to wait for the end; null where it does not.
 * @example waitSecondsOf('wait=5') // 5
 */
export function waitSecondsOf(prefer = ''): number | null {
  const wait = /(?:^|[,;\s])wait(?:\s*=\s*"?(\d+)"?)?(?=$|[,;\s])/i.exec(prefer);
  if (wait === null) return null;
  return Math.min(Math.max(Number(wait[1] ?? LONGEST_WAIT_S), 1), LONGEST_WAIT_S);
}

export const hasPrediction: IsThere = async (c, deps, id) =>
  ((await objectOf(c, deps, id)?.find(id)) ?? null) !== null;

export const getPrediction: Handler = (c, deps) => reply(c, deps, (object, id) => object.find(id));
export const cancelPrediction: Handler = (c, deps) =>
  reply(c, deps, (object, id) => object.cancel(id));

async function reply(
  c: AppContext,
  deps: Dependencies,
  read: (object: Predictions, id: string) => Promise<StoredPrediction | null>,
): Promise<Response> {
  const id = c.req.param('prediction_id') ?? '';
  const object = objectOf(c, deps, id);
  const found = object && (await read(object, id));
  if (found === null) throw unknown();
  c.get('onNamed')?.(id);
  return c.json(shownPrediction(found, publicBase(c, deps)), 200, NOT_STORED);
}

export const listPredictions: Handler = async (c, deps) => {
  const { cursor } = validate(ListQuery, c.req.query());
  const none = { predictions: [], older: null, newer: null };
  const { predictions, older, newer } = mayList(c)
    ? await ownObject(c, deps).list(cursorOf(cursor))
    : none;
  const base = publicBase(c, deps);
  const pageAt = (direction: Cursor['direction'], number: number | null) =>
    number === null ? null : `${base}/predictions?cursor=${direction}-${number}`;
  const list: PredictionList = {
    previous: pageAt('newer', newer),
    next: pageAt('older', older),
    results: predictions.map((stored) => shownPrediction(stored, base)),
  };
  return await storedJson(c, deps, list);
};

function cursorOf(text: string | undefined): Cursor | null {
  if (text === undefined) return null;
  const [direction, number] = text.split('-');
  return { direction: direction as Cursor['direction'], number: Number(number) };
}

export const streamPrediction: Handler = async (c, deps) => {
  const id = c.req.param('prediction_id') ?? '';
  const object = signedObject(deps, id);
  const after = /^\d{1,9}$/.exec(c.req.header('last-event-id') ?? '')?.[0] ?? '0';
  const events = await object?.stream(id, Number(after), visitorIn(c, deps));
  if (!events) throw unknown('or this URL is not whole');
  return valueFrom(events);
};

function unknown(orElse = 'or its key is another'): ApiError {
  const detail = `There is no such prediction: an hour has passed since it was created, newer ones took its place, its image was deleted, ${orElse}.`;
  return new ApiError('not-found', detail);
}
