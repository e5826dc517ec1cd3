/**
 * Ids of what a caller's object stores. An id names its object, so that whoever has it finds the object without a
 * table, and holds 128 random bits, so that nobody guesses it. The platform knows its own objects: a made-up id is
 * refused without waking one.
 */

const RANDOM_BYTES = 16;
const FORM = /^[0-9a-f]{96}$/;

export function randomHex(): string {
  return crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)).toHex();
}

/** @example newId(ctx.id) // 32 random hexadecimal digits, and 64 of the object */
export function newId(object: DurableObjectId): string {
  return `${randomHex()}${object}`;
}

/** The object that an id names; null where it is no id of this deployment. */
export function objectIdOf(
  namespace: Pick<DurableObjectNamespace, 'idFromString'>,
  id: string,
): DurableObjectId | null {
  if (!FORM.test(id)) return null;
  try {
    return namespace.idFromString(id.slice(2 * RANDOM_BYTES));
  } catch {
    return null;
  }
}
