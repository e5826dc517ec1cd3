/** The committed test scenes: images with their captions, questions and right answers. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { ROOT } from './prepare-edge.ts';
import type { SceneSet } from './programs/evaluation.ts';

const Scene = z.object({
  file: z.string(),
  layout: z.string(),
  artist: z.string(),
  caption: z.string(),
  questions: z.array(z.object({ type: z.string(), question: z.string(), answer: z.string() })),
});
export type Scene = z.infer<typeof Scene>;

const FOLDER = join(ROOT, 'test/scenes');
const FOLDERS = { known: '', validation: 'validation/' };

/** @returns scenes whose `file` is below test/scenes/ */
export async function readScenes(set: SceneSet = 'known'): Promise<Scene[]> {
  const text = await readFile(join(FOLDER, FOLDERS[set], 'scenes.json'), 'utf8');
  const scenes = z.array(Scene).parse(JSON.parse(text));
  return scenes.map((scene) => ({ ...scene, file: FOLDERS[set] + scene.file }));
}

export function readImage(scene: Scene): Promise<Uint8Array<ArrayBuffer>> {
  return readFile(join(FOLDER, scene.file));
}
