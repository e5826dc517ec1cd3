/** What the lock file says of packages, and which of them a part of the service runs with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { ROOT } from '../prepare-edge.ts';

const names = z.optional(z.record(z.string(), z.string()));

const Entry = z.object({
  name: z.optional(z.string()),
  version: z.optional(z.string()),
  resolved: z.optional(z.string()),
  integrity: z.optional(z.string()),
  license: z.optional(z.string()),
  link: z.optional(z.boolean()),
  optional: z.optional(z.boolean()),
  hasInstallScript: z.optional(z.boolean()),
  dependencies: names,
  devDependencies: names,
  optionalDependencies: names,
});
type Entry = z.infer<typeof Entry>;

/** Entries of package-lock.json by their folders; the root's is empty. */
export type Lock = ReadonlyMap<string, Entry>;

export function readLock(): Lock {
  const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  const { packages } = z.object({ packages: z.record(z.string(), Entry) }).parse(JSON.parse(text));
  return new Map(Object.entries(packages));
}

export type Package = {
  name: string;
  version: string;
  /** SPDX expression as its author gives it; empty where there is none. */
  license: string;
  /** Folder below the root. */
  path: string;
  /** Whether it is for some platforms only. */
  isOptional: boolean;
};

/**
 * Parts of the project that run by themselves. `npm sbom --omit dev` would leave out of the worker what the root
 * names too, for its tools and tests, and whatever is below that: sharp and libvips, zod, undici.
 */
export const PARTS = {
  worker: ['gpu-worker'],
  edge: ['edge'],
  dev: [],
} as const satisfies Record<string, readonly string[]>;
export type Part = keyof typeof PARTS;

/**
 * Packages of others that a part runs with, on any platform, by name; `dev` are those of tools, tests and the local
 * edge that neither of the other two has.
 */
export function packagesOf(part: Part, lock: Lock = readLock()): Package[] {
  const running = (folders: readonly string[]) => closureOf(lock, folders);
  const paths =
    part === 'dev'
      ? [...lock.keys()].filter((path) => isForeign(lock, path)).filter(notIn(lock))
      : [...running(PARTS[part]), ...(part === 'worker' ? nodeItself(lock) : [])];
  return paths
    .map((path) => toPackage(path, lock.get(path)!))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.path < b.path ? -1 : 1));
}

function notIn(lock: Lock): (path: string) => boolean {
  const running = new Set(
    (['worker', 'edge'] as const).flatMap((part) => packagesOf(part, lock)).map(({ path }) => path),
  );
  return (path) => !running.has(path);
}

/** Node comes as an optional package of the root, where there is one for the platform. */
function nodeItself(lock: Lock): string[] {
  return Object.keys(lock.get('')?.optionalDependencies ?? {})
    .map((name) => `node_modules/${name}`)
    .filter((path) => lock.has(path));
}

const isForeign = (lock: Lock, path: string) =>
  path.startsWith('node_modules/') && lock.get(path)?.link !== true;

/** Folders of packages that the workspaces need at run time, and of those that these need. */
function closureOf(lock: Lock, workspaces: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (path: string) => {
    if (found.has(path)) return;
    found.add(path);
    const entry = lock.get(path);
    for (const name of Object.keys({ ...entry?.dependencies, ...entry?.optionalDependencies })) {
      const folder = resolve(lock, path, name);
      if (folder !== null) visit(folder);
      else if (entry?.optionalDependencies?.[name] === undefined) {
        throw new Error(`${path} needs ${name}, which package-lock.json lacks: run npm install.`);
      }
    }
  };
  for (const workspace of workspaces) visit(workspace);
  return [...found].filter((path) => isForeign(lock, path));
}

/** Where Node finds a package from a folder: in the nearest node_modules; a workspace in its own folder. */
function resolve(lock: Lock, from: string, name: string): string | null {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    const entry = lock.get(path);
    if (entry !== undefined) return entry.link === true ? (entry.resolved ?? null) : path;
    if (folder === '') return null;
  }
}

function toPackage(path: string, entry: Entry): Package {
  const { name = path.split('node_modules/').at(-1)!, version = '', license = '' } = entry;
  return { name, version, license, path, isOptional: entry.optional === true };
}
