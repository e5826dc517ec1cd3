/** Images of which nothing may stay cached: a job that came before its image was dropped caches nothing any more. */
import { LRUCache } from 'lru-cache';
import type { Origin } from './protocol.ts';

/** Matters for as long as jobs run that came before; those beyond are evicted by the caches' budgets. */
const MAX_IMAGES = 4096;

/**
 * @example
 * dropped.add('shared/5e3f…', 1000);
 * dropped.includes({ image: 'shared/5e3f…', arrivedAt: 999 });  // true
 * dropped.includes({ image: 'shared/5e3f…', arrivedAt: 1001 }); // false: it was sent again
 */
export class DroppedImages {
  readonly #droppedAt = new LRUCache<string, number>({ max: MAX_IMAGES });

  /** @param at milliseconds of the clock that jobs arrive by */
  add(image: string, at: number): void {
    this.#droppedAt.set(image, at);
  }

  /** Whether all of them came before their image was dropped. */
  includesAll(origins: readonly (Origin | undefined)[]): boolean {
    return origins.length > 0 && origins.every((origin) => this.includes(origin));
  }

  includes(origin: Origin | undefined): boolean {
    if (origin === undefined) return false;
    const droppedAt = this.#droppedAt.get(origin.image);
    return droppedAt !== undefined && origin.arrivedAt <= droppedAt;
  }
}

/** What the keys of all that is cached of an image begin with. */
export const keyPrefixOf = (image: string) => `${image} `;
