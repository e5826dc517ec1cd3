/** Which object a request may ask: that of its caller, or where no key is needed the one that an id names. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { clientOf } from '../../http/client-address.ts';
import { originOf } from '../../http/origin.ts';
import type { Predictions, Visitor } from '../../predictions/contract.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import type { AppContext } from '../../routes/app-context.ts';
import { settlingObject } from '../../settling.ts';

/**
 * The object in which a caller's own are stored.
 * @param waitMs how long one of its calls may wait for the end of a prediction, milliseconds
 */
export function ownObject(c: AppContext, deps: Dependencies, waitMs = 0): Predictions {
  const id = namespaceOf(deps).idFromName(nameOf(c, deps));
  return objectAt(deps, id, waitMs);
}

/**
 * The object that an id names. With a key it must be the caller's own. Where none is needed an address is shared by
 * many and changes: there, whoever has the id may ask.
 * @returns null where the id is none, or is not for this caller
 */
export function objectOf(c: AppContext, deps: Dependencies, id: string): Predictions | null {
  const namespace = namespaceOf(deps);
  const named = objectIdOf(namespace, id);
  if (named === null) return null;
  const isOpen = (c.get('caller') ?? null) === null;
  if (!isOpen && !named.equals(namespace.idFromName(nameOf(c, deps)))) return null;
  return objectAt(deps, named);
}

/** The object that the id in a signed URL names, whoever asks. */
export function signedObject(deps: Dependencies, id: string): Predictions | null {
  const named = objectIdOf(namespaceOf(deps), id);
  return named && objectAt(deps, named);
}

/** Whoever has a signed URL. */
export function visitorIn(c: AppContext, { config }: Dependencies): Visitor {
  return { token: c.req.query('token') ?? '', address: clientOf(c.req.raw.headers, config) };
}

/** Nobody may list what others sent from the same address. */
export function mayList(c: AppContext): boolean {
  return (c.get('caller') ?? null) !== null;
}

function nameOf(c: AppContext, { config }: Dependencies): string {
  return c.get('caller')?.id ?? `address/${clientOf(c.req.raw.headers, config)}`;
}

function objectAt(deps: Dependencies, id: DurableObjectId, waitMs = 0): Predictions {
  const object = namespaceOf(deps).get(id) as unknown as Predictions;
  return settlingObject(object, deps.config.deadlineMs + waitMs);
}

/** @throws ApiError `not-configured` */
function namespaceOf({ predictions }: Dependencies): DurableObjectNamespace {
  if (predictions !== undefined) return predictions;
  throw new ApiError(
    'not-configured',
    'This deployment stores no predictions: bind the Durable Object class Predictions as PREDICTIONS, with its migration, as wrangler.toml of the repository does.',
  );
}

/** Base of the addresses in replies, without a trailing slash. */
export function publicBase(c: AppContext, { config }: Dependencies): string {
  const origin = config.publicUrl?.replace(/(?<!\/)\/+$/, '') ?? originOf(c.req.url);
  return `${origin}/replicate/v1`;
}
