/** Files of a data set in the folder that the user names: where they are, and what to do where they are not. */
import { access, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type * as z from 'zod/mini';

/** What the user can mend: the message says how. */
export class DatasetError extends Error {}

/** Folders below the data set's in which annotations are looked for too. */
const ANNOTATION_FOLDERS = ['', 'annotations'];

/** How the official distribution names a file, and where it comes from. */
export type AnnotationFile = { name: string; source: string };

/** @returns path of the first of the files that is there; null where none is */
export async function findAnnotation(
  folder: string,
  files: readonly AnnotationFile[],
): Promise<string | null> {
  const paths = files.flatMap(({ name }) =>
    ANNOTATION_FOLDERS.map((sub) => join(folder, sub, name)),
  );
  return firstThatExists(paths);
}

/**
 * @param layout what the folder should look like, for the error
 * @throws DatasetError when none of the files is there
 */
export async function requireAnnotation(
  folder: string,
  files: readonly AnnotationFile[],
  layout: string,
): Promise<string> {
  const path = await findAnnotation(folder, files);
  if (path !== null) return path;
  const wanted = files.map(({ name, source }) => `  ${name}  (${source})`).join('\n');
  throw new DatasetError(
    `${folder} has no ${files.length === 1 ? 'annotations' : 'annotations of any of these names'}, nor has its folder annotations/:\n${wanted}\n${expected(layout)}`,
  );
}

/** @throws DatasetError when the file is no JSON of the expected form */
export async function readAnnotation<T>(path: string, schema: z.ZodMiniType<T>): Promise<T> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new DatasetError(`${path} cannot be read as JSON: ${(error as Error).message}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new DatasetError(
    `${path} is not in the official format: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`,
  );
}

/** An item of a data set, before it is known at which of several paths its image is. */
export type WithImage = { id: string; images: readonly string[] };

/**
 * Replaces the paths, relative to the folder, at which an image may be by the one at which it is.
 * @throws DatasetError that counts those that are missing and names the first
 */
export async function locateImages<T extends WithImage>(
  folder: string,
  items: readonly T[],
  layout: string,
): Promise<(T & { image: string })[]> {
  const located: (T & { image: string })[] = [];
  const missing: T[] = [];
  for (const item of items) {
    const paths = item.images.map((path) => join(folder, path));
    // The names are from a file that somebody downloaded: they lead nowhere else.
    const image = await firstThatExists(paths.filter((path) => path.startsWith(join(folder, sep))));
    if (image === null) missing.push(item);
    else located.push({ ...item, image });
  }
  const [first] = missing;
  if (first === undefined) return located;
  throw new DatasetError(
    `${missing.length} of ${items.length} images are not in ${folder}; the first would be at ${first.images.join(' or ')}.\n${expected(layout)}`,
  );
}

function expected(layout: string): string {
  return `Expected in the folder:\n${layout}`;
}

async function firstThatExists(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return path;
  }
  return null;
}
