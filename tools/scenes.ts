/** The committed test scenes: images with their captions, questions and right answers. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { ROOT } from './prepare-edge.ts';

const Scene = z.object({
  file: z.string(),
  layout: z.string(),
  artist: z.string(),
  caption: z.string(),
  questions: z.array(z.object({ type: z.string(), question: z.string(), answer: z.string() })),
});
export type Scene = z.infer<typeof Scene>;

const FOLDER = join(ROOT, 'test/scenes');

export async function readScenes(): Promise<Scene[]> {
  const text = await readFile(join(FOLDER, 'scenes.json'), 'utf8');
  return z.array(Scene).parse(JSON.parse(text));
}

export function readImage(scene: Scene): Promise<Uint8Array<ArrayBuffer>> {
  return readFile(join(FOLDER, scene.file));
}
