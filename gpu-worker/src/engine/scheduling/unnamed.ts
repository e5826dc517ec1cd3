/** Who has no name is nobody in particular: it may be everybody, as where no address of a client is trusted. */
import { UNNAMED_CLIENT } from '@blip2/shared/wire';

/** Whether it names nobody: sent without a name, or by an edge that knows none. */
export function isUnnamed(client: string): boolean {
  return client === '' || client === UNNAMED_CLIENT;
}
