/** Items of jobs: captions of scenes that no cache has, of which some end whoever runs them. */
import { createHash } from 'node:crypto';
import type { Random } from '../chaos/random.ts';
import { knownImages, supplyOf } from '../load/scenes.ts';

export type Items = {
  /** Lines of native items. */
  lines: string;
  ids: string[];
  /** Ids of the poison, and SHA-256 of their images. */
  poison: ReadonlyMap<string, string>;
};

/** Scenes that new ones are made of. */
const SCENES = 64;

/**
 * Distinct images, the same for the same numbers.
 * @param poison how many of them are poison, anywhere among the others
 */
export async function makeItems(count: number, poison: number, random: Random): Promise<Items> {
  const images = supplyOf(await knownImages(SCENES), random.next);
  const ids = Array.from({ length: count }, (_, i) => `item-${i}`);
  const chosen = new Set<number>();
  while (chosen.size < Math.min(poison, count)) chosen.add(random.below(count));
  const lines: string[] = [];
  const marked = new Map<string, string>();
  for (const [i, id] of ids.entries()) {
    const bytes = await images.take();
    if (chosen.has(i)) marked.set(id, createHash('sha256').update(bytes).digest('hex'));
    const image = `data:image/jpeg;base64,${Buffer.from(bytes).toString('base64')}`;
    lines.push(JSON.stringify({ id, image }));
  }
  return { lines: lines.join('\n'), ids, poison: marked };
}
