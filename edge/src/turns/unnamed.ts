/** Who has neither a key nor an address that somebody trusted says: it may be everybody, so that all such are one client together. */
import { UNNAMED_CLIENT } from '@blip2/shared/wire';

export function isUnnamed(client: string): boolean {
  return client === '' || client === UNNAMED_CLIENT;
}

const OF_MANY = { has: 'have', watches: 'watch' };

/**
 * How an error begins that says what a client has: one of many whom nobody tells apart learns that it is not alone with it.
 * @example clientThat('203.0.113.9', 'has') // 'This client has'
 */
export function clientThat(client: string, verb: keyof typeof OF_MANY): string {
  return isUnnamed(client)
    ? `Those whose address is not known together ${OF_MANY[verb]}`
    : `This client ${verb}`;
}
