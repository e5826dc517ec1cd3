/** Which object a request may ask: that of its caller, or where no key is needed the one that an id names. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { clientOf } from '../../http/client-address.ts';
import type { Predictions, Visitor } from '../../predictions/contract.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import type { AppContext } from '../../routes/app-context.ts';

/** The object in which a caller's own are stored. */
export function ownObject(c: AppContext, deps: Dependencies): Predictions {
  const namespace = namespaceOf(deps);
  return objectAt(namespace, namespace.idFromName(nameOf(c, deps)));
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
  return objectAt(namespace, named);
}

/** The object that the id in a signed URL names, whoever asks. */
export function signedObject(deps: Dependencies, id: string): Predictions | null {
  const namespace = namespaceOf(deps);
  const named = objectIdOf(namespace, id);
  return named && objectAt(namespace, named);
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

function objectAt(namespace: DurableObjectNamespace, id: DurableObjectId): Predictions {
  return namespace.get(id) as unknown as Predictions;
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
  const origin = config.publicUrl?.replace(/\/+$/, '') ?? new URL(c.req.url).origin;
  return `${origin}/replicate/v1`;
}
