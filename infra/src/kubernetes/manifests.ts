/** All manifests of a cluster, as YAML. */
import { Namespace } from 'kubernetes-models/v1';
import { stringify } from 'yaml';
import type { Settings } from '../settings.ts';
import { balancerOf } from './balancer.ts';
import { networkOf } from './network.ts';
import { partJobOf } from './part-job.ts';
import { scalingOf } from './scaling.ts';
import { unknownMembers } from './unknown-members.ts';
import { workersOf } from './workers.ts';

/** One object of a cluster, which knows its schema. */
export type Manifest = {
  kind: string;
  metadata?: { name?: string | undefined } | undefined;
  validate(): void;
  toJSON(): unknown;
};

export function manifestsOf(settings: Settings): Manifest[] {
  return [
    new Namespace({
      metadata: {
        name: settings.namespace,
        labels: {
          'pod-security.kubernetes.io/enforce': 'restricted',
          'pod-security.kubernetes.io/warn': 'restricted',
        },
      },
    }),
    ...workersOf(settings),
    ...balancerOf(settings),
    ...scalingOf(settings),
    ...networkOf(settings),
    ...partJobOf(settings),
  ];
}

/** What is wrong with a manifest by its schema, and what of it the schema does not know. */
export function objectionsTo(manifest: Manifest): string[] {
  const name = `${manifest.kind} ${manifest.metadata?.name}`;
  const objections: string[] = [];
  const unknown = unknownMembers(manifest, (value) => {
    try {
      manifest.validate.call(value);
    } catch (error) {
      objections.push(`${name}: ${(error as Error).message}`);
    }
  });
  return [...objections, ...unknown.map((path) => `${name} has no member ${path}`)];
}

/** @throws Error that names each member that is wrong or unknown */
export function manifestsYaml(settings: Settings): string {
  const manifests = manifestsOf(settings);
  const objections = manifests.flatMap(objectionsTo);
  if (objections.length > 0) throw new Error(objections.join('\n'));
  const documents = manifests.map((manifest) =>
    stringify(manifest.toJSON(), { aliasDuplicateObjects: false, lineWidth: 0 }),
  );
  return `# Made by "npm run infra -- kubernetes".\n${documents.join('---\n')}`;
}
