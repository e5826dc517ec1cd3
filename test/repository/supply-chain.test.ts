/** What the service is made of: pinned, checked on arrival, under licenses that are known, and not older than its fixes. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../tools/prepare-edge.ts';
import { FLOORS, isAtLeast } from '../../tools/supply-chain/advisories.ts';
import {
  installedLibvips,
  librariesOfLibvips,
} from '../../tools/supply-chain/bundled-libraries.ts';
import {
  objectionTo,
  objectionToBundled,
  satisfies,
} from '../../tools/supply-chain/license-policy.ts';
import { PARTS, type Part, packagesOf, readLock } from '../../tools/supply-chain/lock.ts';
import { withPackages } from '../../tools/supply-chain/notice.ts';
import { sbomOf } from '../../tools/supply-chain/sbom.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const lock = readLock();
const parts = Object.keys(PARTS) as Part[];
const foreign = [...lock].filter(
  ([path, { link }]) => path.startsWith('node_modules/') && link !== true,
);
const manifests = [
  '',
  ...[...lock.values()].flatMap(({ link, resolved }) => (link ? [resolved!] : [])),
]
  .map((folder) => join(folder, 'package.json'))
  .map((path) => ({ path, manifest: JSON.parse(read(path)) as Manifest }));
type Manifest = Record<string, Record<string, string> | undefined>;

describe('versions', () => {
  it.each(manifests)('$path names exact ones', ({ manifest }) => {
    const kinds = ['dependencies', 'devDependencies', 'optionalDependencies', 'overrides'];
    const named = kinds.flatMap((kind) => Object.entries(manifest[kind] ?? {}));
    const loose = named.filter(
      ([name, version]) =>
        !(name.startsWith('@blip2/') ? version === '*' : /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    );
    expect(loose).toEqual([]);
  });

  it('are the same in all of them', () => {
    const versions = new Map<string, Set<string>>();
    for (const { manifest } of manifests) {
      for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
        for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
          versions.set(name, (versions.get(name) ?? new Set()).add(version));
        }
      }
    }
    expect([...versions].filter(([, known]) => known.size > 1)).toEqual([]);
  });

  it('in the lock file come with what their contents must be, and name no host', () => {
    const unchecked = foreign.filter(([, { integrity }]) => !/^sha512-/.test(integrity ?? ''));
    expect(unchecked.map(([path]) => path)).toEqual([]);
    expect(foreign.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });

  it.each(FLOORS)('$package is at least $atLeast: $why', ({ package: name, atLeast }) => {
    const found = foreign.filter(([path]) => path.split('node_modules/').at(-1) === name);
    expect(found.length).toBeGreaterThan(0);
    const old = found.filter(([, { version }]) => !isAtLeast(version ?? '0', atLeast));
    expect(old.map(([path, { version }]) => `${path} ${version}`)).toEqual([]);
  });

  it.each([
    ['0.35.5', '0.35.4', true],
    ['0.35.4', '0.35.4', true],
    ['0.35.10', '0.35.4', true],
    ['1.0.0', '0.35.4', true],
    ['0.35.3', '0.35.4', false],
    ['0.34.9', '0.35.4', false],
    ['0.35.4-rc.1', '0.35.4', false],
  ])('%s is at least %s: %s', (version, floor, expected) => {
    expect(isAtLeast(version, floor)).toBe(expected);
  });
});

describe('programs of packages that would run when they are installed', () => {
  const folder = temporaryFolder();

  it('are all known, and none is allowed to', () => {
    const scripted = foreign.flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript === true ? [path.split('node_modules/').at(-1)!] : [],
    );
    const { allowScripts } = JSON.parse(read('package.json')) as {
      allowScripts: Record<string, boolean>;
    };
    expect(Object.keys(allowScripts).sort()).toEqual([...new Set(scripted)].sort());
    expect(Object.values(allowScripts)).not.toContain(true);
  });

  it('do not run where the settings of this repository hold', () => {
    const at = (name: string) => join(folder, name);
    mkdirSync(at('evil'));
    writeFileSync(
      at('evil/package.json'),
      JSON.stringify({
        name: 'evil',
        version: '1.0.0',
        scripts: { preinstall: 'node mark.js', postinstall: 'node mark.js' },
      }),
    );
    writeFileSync(at('evil/mark.js'), "require('fs').writeFileSync(process.env.MARK, '')");
    // npm hands its settings on to what it runs, these tests too.
    const { npm_config_ignore_scripts: _, ...environment } = process.env;
    const npm = (cwd: string, ...args: string[]) =>
      spawnSync('npm', args, { cwd, env: { ...environment, MARK: at('it-ran') } });
    expect(npm(at('evil'), 'pack', '--silent').status).toBe(0);
    const manifest = { name: 'victim', private: true };
    writeFileSync(at('package.json'), JSON.stringify(manifest));
    const install = (...flags: string[]) =>
      npm(folder, 'install', '--offline', '--no-save', ...flags, './evil/evil-1.0.0.tgz').status;
    expect([install('--ignore-scripts=false'), existsSync(at('it-ran'))]).toEqual([0, true]);
    writeFileSync(at('.npmrc'), read('.npmrc'));
    rmSync(at('node_modules'), { recursive: true });
    rmSync(at('it-ran'));
    expect([install(), existsSync(at('node_modules/evil')), existsSync(at('it-ran'))]).toEqual([
      0,
      true,
      false,
    ]);
  });
});

describe('licenses', () => {
  it.each(parts)('of every package of %s may be what they are', (part) => {
    const packages = packagesOf(part);
    expect(packages.length).toBeGreaterThan(3);
    expect(packages.map((one) => objectionTo(one, part)).filter((why) => why !== null)).toEqual([]);
  });

  it('of what is compiled into libvips may be what they are', () => {
    const libraries = librariesOfLibvips(installedLibvips()!);
    expect(libraries.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['libvips', 'libheif', 'librsvg', 'aom', 'libultrahdr', 'libnsgif']),
    );
    expect(libraries.map(objectionToBundled).filter((why) => why !== null)).toEqual([]);
  });

  it.each([
    ['MIT', true],
    ['(MIT OR GPL-3.0-only)', true],
    ['GPL-3.0-only OR MIT AND ISC', true],
    ['MIT AND (ISC OR GPL-3.0-only)', true],
    ['MIT AND GPL-3.0-only', false],
    ['(MIT OR ISC) AND GPL-3.0-only', false],
    ['Apache-2.0 WITH LLVM-exception', false],
    ['SEE LICENSE IN LICENSE', false],
    ['UNLICENSED', false],
    ['MIT)', false],
    ['(MIT', false],
    ['', false],
  ])('%j can be met by MIT and ISC: %s', (expression, expected) => {
    expect(satisfies(expression, new Set(['MIT', 'ISC', 'Apache-2.0']))).toBe(expected);
  });

  it.each([
    ['left-pad', 'LGPL-3.0-or-later', 'worker'],
    ['left-pad', 'MPL-2.0', 'edge'],
    ['left-pad', 'GPL-3.0-only', 'dev'],
    ['left-pad', '', 'dev'],
    ['@img/sharp-libvips-linux-x64', 'GPL-3.0-or-later', 'worker'],
  ] as const)('%s under %j is refused in %s', (name, license, part) => {
    const one = { name, license, version: '1.0.0', path: '', isOptional: false };
    expect(objectionTo(one, part)).toContain(name);
  });

  it('NOTICE names every package that runs (npm run licenses -- --write)', () => {
    const notice = read('NOTICE');
    expect(withPackages(notice)).toBe(notice);
  });

  it('NOTICE names all that is under the LGPL within libvips', () => {
    const within = read('NOTICE').replaceAll(/\s+/g, ' ');
    const lesser = librariesOfLibvips(installedLibvips()!).filter(({ license }) =>
      /LGPL/.test(license),
    );
    expect(lesser.length).toBeGreaterThan(0);
    for (const { name } of lesser) expect(within).toContain(name);
  });
});

describe('the bill of materials', () => {
  it.each(parts)('of %s is what the lock file has', async (part) => {
    const { components, dependencies } = await sbomOf(part);
    const expected = packagesOf(part).map(({ name, version }) => `${name}@${version}`);
    const refs = components.map((component) => component['bom-ref']);
    expect(refs.toSorted()).toEqual([...new Set(expected)].toSorted());
    for (const { dependsOn } of dependencies)
      expect(refs).toEqual(expect.arrayContaining(dependsOn));
    for (const component of components) expect(component).toHaveProperty('hashes.0.content');
  });

  it('of the worker has everything that its code imports, and what that is made of', async () => {
    const { components } = await sbomOf('worker');
    const names = components.map(({ purl }) =>
      decodeURIComponent(String(purl)).slice('pkg:npm/'.length),
    );
    const has = (name: string) => names.some((purl) => purl.startsWith(`${name}@`));
    const { dependencies } = JSON.parse(read('gpu-worker/package.json')) as Manifest;
    const direct = Object.keys(dependencies!).filter((name) => !name.startsWith('@blip2/'));
    expect(direct.filter((name) => !has(name))).toEqual([]);
    for (const name of ['sharp', '@img/sharp-libvips-linux-x64', 'zod', 'undici', 'semver']) {
      expect([name, has(name)]).toEqual([name, true]);
    }
    expect(has('vitest')).toBe(false);
    const libvips = components.find((component) =>
      component['bom-ref'].startsWith('@img/sharp-libvips-linux-x64'),
    );
    const inside = libvips?.components as { name: string; version?: string }[];
    expect(inside.find(({ name }) => name === 'libheif')?.version).toMatch(/^\d+\.\d+/);
  });
});
