/** A bill of materials in CycloneDX: npm's, of the packages that a part runs with, and of what is compiled into them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as z from 'zod/mini';
import { ROOT } from '../prepare-edge.ts';
import { installedLibvips, isLibvips, librariesOfLibvips, noticesOf } from './bundled-libraries.ts';
import { type Package, type Part, packagesOf } from './lock.ts';

const Component = z.looseObject({
  'bom-ref': z.string(),
  name: z.string(),
  externalReferences: z.optional(z.array(z.unknown())),
});
const Bom = z.looseObject({
  metadata: z.looseObject({ component: Component }),
  components: z.array(Component),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});
export type Bom = z.infer<typeof Bom>;

/** What npm says of the lock file: every package, of all platforms and parts. */
async function npmSbom(): Promise<Bom> {
  const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'];
  const options = { cwd: ROOT, maxBuffer: 2 ** 26, shell: process.platform === 'win32' };
  const { stdout } = await promisify(execFile)('npm', args, options);
  return Bom.parse(JSON.parse(stdout));
}

const NAMES: Record<Part, string> = {
  worker: 'blip2-edge GPU worker',
  edge: 'blip2-edge Worker',
  dev: 'blip2-edge tools, tests and local edge',
};

/** @throws Error when npm names a package that the lock file has not, or the other way round */
export async function sbomOf(part: Part): Promise<Bom> {
  const bom = await npmSbom();
  const packages = new Map(packagesOf(part).map((one) => [`${one.name}@${one.version}`, one]));
  const components = bom.components.filter((component) => packages.has(component['bom-ref']));
  const missing = [...packages.keys()].filter(
    (ref) => !components.some((component) => component['bom-ref'] === ref),
  );
  if (missing.length > 0) throw new Error(`npm sbom does not name ${missing.join(', ')}.`);
  const root = bom.metadata.component['bom-ref'];
  return {
    ...bom,
    metadata: {
      ...bom.metadata,
      // npm gives it the name of the folder.
      component: { ...bom.metadata.component, type: 'application', name: NAMES[part] },
    },
    components: components.map((component) => ({
      ...component,
      ...whatIsIn(packages.get(component['bom-ref'])!, component),
    })),
    dependencies: [
      { ref: root, dependsOn: rootsOf(bom, packages) },
      ...bom.dependencies
        .filter(({ ref }) => packages.has(ref))
        .map(({ ref, dependsOn }) => ({
          ref,
          dependsOn: dependsOn.filter((to) => packages.has(to)),
        })),
    ],
  };
}

/** Packages that a workspace of ours names itself, or that nothing else in the list needs. */
function rootsOf({ dependencies }: Bom, packages: ReadonlyMap<string, Package>): string[] {
  const needed = new Set(
    dependencies.filter(({ ref }) => packages.has(ref)).flatMap(({ dependsOn }) => dependsOn),
  );
  const direct = new Set(
    dependencies
      .filter(({ ref }) => ref.startsWith('@blip2/'))
      .flatMap(({ dependsOn }) => dependsOn),
  );
  return [...packages.keys()].filter((ref) => direct.has(ref) || !needed.has(ref));
}

function whatIsIn(one: Package, { externalReferences = [] }: z.infer<typeof Component>) {
  const notices = noticesOf(one);
  const installed = installedLibvips();
  return {
    scope: one.isOptional ? 'optional' : 'required',
    ...(notices === null
      ? {}
      : { externalReferences: [...externalReferences, { type: 'license', url: notices }] }),
    ...(isLibvips(one) && installed !== null
      ? {
          components: librariesOfLibvips(installed).map(({ name, version, license }) => ({
            'bom-ref': `${one.name}/${name}`,
            type: 'library',
            name,
            ...(version === '' ? {} : { version }),
            licenses: [{ license: { name: license } }],
          })),
        }
      : {}),
  };
}
