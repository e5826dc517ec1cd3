/** The part of NOTICE that names the packages that run, by license: written by a command, compared by a test. */
import { type Package, packagesOf } from './lock.ts';

const BEGIN =
  'The service runs with these packages, on one platform or another (npm run licenses -- --write):';
const END =
  'The complete list, with versions and what is compiled in: npm run sbom, npm run licenses.';

/** Longest line. */
const WIDTH = 120;

/** NOTICE with its list of packages as the lock file has them now. */
export function withPackages(notice: string): string {
  const [before, after] = [notice.indexOf(BEGIN), notice.indexOf(END)];
  if (before < 0 || after < 0) throw new Error('NOTICE has lost the lines around its packages.');
  return `${notice.slice(0, before)}${BEGIN}\n\n${listed()}\n\n${notice.slice(after)}`;
}

function listed(): string {
  const byLicense = new Map<string, string[]>();
  const packages = (['worker', 'edge'] as const).flatMap((part) => packagesOf(part));
  for (const { license, name } of packages) {
    const names = byLicense.get(bare(license)) ?? [];
    byLicense.set(bare(license), [...names, families(name)]);
  }
  return [...byLicense]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([license, names]) => wrapped(`  ${license}:`, [...new Set(names)].sort()))
    .join('\n');
}

const bare = (license: string) => license.replaceAll(/^\(|\)$/g, '');

/** One name for the builds of a package for many platforms. */
function families(name: Package['name']): string {
  return name.replace(
    /-(android|darwin|freebsd|linux|linuxmusl|openharmony|webcontainers|win32)-.*$/,
    '-*',
  );
}

function wrapped(head: string, words: readonly string[]): string {
  const lines = [head];
  for (const [i, word] of words.entries()) {
    const next = ` ${word}${i < words.length - 1 ? ',' : ''}`;
    if (`${lines.at(-1)}${next}`.length > WIDTH) lines.push('   ');
    lines[lines.length - 1] += next;
  }
  return lines.join('\n');
}
