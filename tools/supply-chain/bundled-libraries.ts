/** Libraries within packages, of which no lock file knows: what is compiled into libvips, onnxruntime and Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { ROOT } from '../prepare-edge.ts';
import type { Package } from './lock.ts';

export type BundledLibrary = {
  name: string;
  /** Empty where the package does not say. */
  version: string;
  /** In the words of the package: these are names, not always of SPDX. */
  license: string;
};

const LIBVIPS = /^@img\/sharp-libvips-(?!dev)/;
/** Names in `versions.json` that are neither the library's nor that without `lib`. */
const OTHER_NAMES: Readonly<Record<string, string>> = { uhdr: 'libultrahdr' };

/** The libvips package of this platform that is installed; null where none is. */
export function installedLibvips(): string | null {
  const folder = join(ROOT, 'node_modules/@img');
  const name = readdirSync(folder).find((entry) => entry.startsWith('sharp-libvips-'));
  return name === undefined ? null : `@img/${name}`;
}

/** Whether a package holds a build of libvips; those of all platforms are built of the same sources. */
export const isLibvips = ({ name }: Pick<Package, 'name'>): boolean => LIBVIPS.test(name);

/**
 * What libvips was built of, by the lists that its package brings.
 * @throws Error for a library that one of the lists has and the other has not
 */
export function librariesOfLibvips(name: string): BundledLibrary[] {
  const folder = join(ROOT, 'node_modules', name);
  const versions = z
    .record(z.string(), z.string())
    .parse(JSON.parse(readFileSync(join(folder, 'versions.json'), 'utf8')));
  const licenses = licensesIn(readFileSync(join(folder, 'README.md'), 'utf8'));
  const listed = Object.entries(versions).map(([key, version]) => {
    const library = [OTHER_NAMES[key], key, `lib${key}`].find((name) => licenses.has(name ?? ''));
    if (library === undefined) throw new Error(`${name} names no license of ${key}.`);
    return { name: library, version, license: licenses.get(library)! };
  });
  // Some are part of libvips and have no version of their own.
  const others = [...licenses].filter(([library]) => !listed.some((one) => one.name === library));
  return [
    ...listed,
    ...others.map(([library, license]) => ({ name: library, version: '', license })),
  ];
}

/** Rows of the table `| Library | Used under the terms of |`, links as their text. */
function licensesIn(readme: string): Map<string, string> {
  const rows = readme.matchAll(/^\| ([\w-]+) +\| (.+?) +\|$/gm);
  const plain = (text: string) => text.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1');
  return new Map(
    [...rows].flatMap(([, library = '', license = '']) =>
      library === 'Library' ? [] : [[library, plain(license)]],
    ),
  );
}

/** Where packages that list nothing say what is compiled into them. */
export function noticesOf({ name, version }: Pick<Package, 'name' | 'version'>): string | null {
  if (name === 'onnxruntime-node') {
    return `https://github.com/microsoft/onnxruntime/blob/v${version}/ThirdPartyNotices.txt`;
  }
  if (name.startsWith('node-')) return `https://github.com/nodejs/node/blob/v${version}/LICENSE`;
  if (name === 'workerd') return `https://github.com/cloudflare/workerd/tree/v${version}`;
  return null;
}
