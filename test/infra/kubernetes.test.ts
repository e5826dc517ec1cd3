/** The manifests are what a cluster accepts, and what the worker is. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { jobsConfigOf } from '@blip2/gpu-worker/job-options';
import { TIMING } from '@blip2/gpu-worker/jobs/timing';
import { withDefaults } from '@blip2/shared/config/option';
import { readOptions } from '@blip2/shared/config/read-options';
import { unknownVariables } from '@blip2/shared/config/unknown-variables';
import { describe, expect, it } from 'vitest';
import { EDGE_OPTIONS } from '../../edge/src/config.ts';
import { type Manifest, manifestsOf, objectionsTo } from '../../infra/src/kubernetes/manifests.ts';
import {
  JOBS_GRACE_S,
  LEAVE_S,
  QUEUE_LIMIT,
  REQUEST_DEADLINE_S,
  SETTINGS,
  TERMINATION_S,
} from '../../infra/src/settings.ts';
import { ROOT } from '../../tools/prepare-edge.ts';

const VARIANTS = {
  'a GPU each': {},
  'no GPU, the embedded model': { accelerator: 'cpu', checkpoint: 'embedded' },
  'a retrieval model': { retrievalCheckpoint: 'Salesforce/blip2-itm-vit-g' },
} as const;

type Env = { name: string; value?: string; valueFrom?: { secretKeyRef?: { key: string } } };
type Container = {
  name: string;
  command?: string[];
  env?: Env[];
  securityContext?: object;
  resources?: { requests?: object; limits?: object };
  volumeMounts?: { name: string }[];
};
type Pod = {
  metadata: { labels: Record<string, string> };
  spec: {
    securityContext: object;
    terminationGracePeriodSeconds?: number;
    initContainers?: Container[];
    containers: Container[];
    volumes?: { name: string }[];
  };
};
type Plain = {
  kind: string;
  metadata: { name: string };
  spec: {
    template?: Pod;
    selector?: Record<string, unknown> & { matchLabels?: Record<string, string> };
    podSelector?: { matchLabels: Record<string, string> };
    scaleTargetRef?: { name: string };
  };
};

const plain = (settings: object = {}) =>
  manifestsOf(withDefaults(SETTINGS, settings)).map((manifest) => manifest.toJSON() as Plain);
const podsOf = (manifests: readonly Plain[]) =>
  manifests.flatMap(({ metadata, spec }) =>
    spec?.template === undefined ? [] : [{ name: metadata.name, pod: spec.template }],
  );
const containersOf = ({ spec }: Pod) => [...(spec.initContainers ?? []), ...spec.containers];

describe.each(Object.entries(VARIANTS))('for %s', (_, settings) => {
  const manifests = plain(settings);

  it('every manifest is as its schema says', () => {
    expect(manifestsOf(withDefaults(SETTINGS, settings)).flatMap(objectionsTo)).toEqual([]);
  });

  it('every container is confined and has its share of a node', () => {
    for (const { pod } of podsOf(manifests)) {
      expect(pod.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 10_001 });
      expect(pod.spec).toMatchObject({ automountServiceAccountToken: false });
      for (const container of containersOf(pod)) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources).toMatchObject({
          requests: { cpu: expect.any(String), memory: expect.any(String) },
          limits: { memory: expect.any(String) },
        });
        const volumes = pod.spec.volumes?.map(({ name }) => name);
        for (const { name } of container.volumeMounts ?? []) expect(volumes).toContain(name);
      }
    }
  });

  it('workers get variables that they read, and values that they accept', () => {
    const names: string[] = [];
    for (const { name, pod } of podsOf(manifests)) {
      for (const { name: container, env = [] } of containersOf(pod)) {
        const values = env.map((each) => [each.name, each.value ?? SAMPLES[each.name] ?? '']);
        const variables = Object.fromEntries(values) as Record<string, string>;
        expect(unknownVariables(WORKER_OPTIONS, variables)).toEqual([]);
        if (container !== 'worker') continue;
        const config = readOptions(WORKER_OPTIONS, { env: variables });
        if (jobsConfigOf(config) !== null) names.push(name);
        expect(config).toMatchObject({ host: '0.0.0.0', hfToken: undefined, maxSlots: 8 });
      }
    }
    expect(names).toEqual(['blip2-jobs']);
  });

  it('what is run is there', () => {
    const scripts = podsOf(manifests)
      .flatMap(({ pod }) => containersOf(pod))
      .flatMap(({ command = [] }) => command.filter((word) => word.endsWith('.ts')));
    expect(scripts).toContain('infra/src/offline/run-part.ts');
    for (const script of scripts)
      expect([script, existsSync(join(ROOT, script))]).toEqual([script, true]);
  });
});

/** What stands in the Secret. */
const SAMPLES: Record<string, string> = {
  BLIP2_JOBS_SECRET: '0123456789abcdef0123456789abcdef',
  BLIP2_WORKER_SECRET: '0123456789abcdef0123456789abcdef',
  AWS_ACCESS_KEY_ID: 'AKIA',
  AWS_SECRET_ACCESS_KEY: 'secret',
  HF_TOKEN: 'hf_abc',
};

it('secrets are named and nowhere written', () => {
  const named = podsOf(plain())
    .flatMap(({ pod }) => containersOf(pod))
    .flatMap(({ env = [] }) => env);
  const secret = named.filter(({ name }) => /SECRET|TOKEN|_KEY/.test(name));
  expect(secret.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'HF_TOKEN',
      'BLIP2_WORKER_SECRET',
      'BLIP2_JOBS_SECRET',
      'AWS_SECRET_ACCESS_KEY',
      'PARTS_KEY',
    ]),
  );
  for (const { value, valueFrom } of secret) {
    expect(value).toBeUndefined();
    expect(valueFrom?.secretKeyRef?.key).toMatch(/^[a-z-]+$/);
  }
});

it('whatever selects pods selects some that there are', () => {
  const manifests = plain();
  const labels = podsOf(manifests).map(({ pod }) => JSON.stringify(pod.metadata.labels));
  const selectors = manifests.flatMap(({ kind, spec }) => {
    const matched = spec?.podSelector?.matchLabels ?? spec?.selector?.matchLabels;
    const selected = matched ?? (kind === 'Service' ? spec.selector : undefined);
    return selected === undefined ? [] : [JSON.stringify(selected)];
  });
  expect(selectors.length).toBeGreaterThan(8);
  for (const selector of selectors) expect(labels).toContain(selector);
  const deployments = manifests.filter(({ kind }) => kind === 'Deployment');
  const scaled = manifests.filter(({ kind }) => kind === 'ScaledObject');
  expect(scaled.map(({ spec }) => spec.scaleTargetRef?.name).sort()).toEqual(
    deployments
      .map(({ metadata }) => metadata.name)
      .filter((name) => name !== 'blip2-haproxy')
      .sort(),
  );
});

it('a worker has the time that it takes to end', () => {
  expect(JOBS_GRACE_S * 1000).toBe(TIMING.graceMs);
  expect(REQUEST_DEADLINE_S * 1000).toBe(EDGE_OPTIONS.deadlineMs.default);
  expect(QUEUE_LIMIT).toBe(WORKER_OPTIONS.queueLimit.default);
  expect(TERMINATION_S).toBeGreaterThan(LEAVE_S + JOBS_GRACE_S);
  const seconds = podsOf(plain()).map(({ pod }) => pod.spec.terminationGracePeriodSeconds);
  expect(seconds).toEqual([TERMINATION_S, TERMINATION_S, expect.any(Number), undefined]);
});

describe('a manifest with', () => {
  const [deployment] = manifestsOf(withDefaults(SETTINGS)).filter(
    ({ kind }) => kind === 'Deployment',
  );
  const [scaled] = manifestsOf(withDefaults(SETTINGS)).filter(
    ({ kind }) => kind === 'ScaledObject',
  );
  /** Another member at a path of a copy. */
  const changed = (manifest: Manifest | undefined, path: string, value: unknown) => {
    const copy = Object.assign(
      Object.create(Object.getPrototypeOf(manifest)),
      structuredClone(manifest!.toJSON()),
    ) as Manifest;
    const keys = path.split('.');
    const last = keys.pop()!;
    let target = copy as unknown as Record<string, unknown>;
    for (const key of keys) target = target[key] as Record<string, unknown>;
    target[last] = value;
    return objectionsTo(copy);
  };

  it.each([
    ['a typo', deployment, 'spec.replcas', 1, 'has no member spec.replcas'],
    [
      'a typo in a pod',
      deployment,
      'spec.template.spec.terminationGraceSeconds',
      60,
      'has no member spec.template.spec.terminationGraceSeconds',
    ],
    [
      'a typo in a list',
      deployment,
      'spec.template.spec.containers.0.readynessProbe',
      {},
      'has no member spec.template.spec.containers.0.readynessProbe',
    ],
    ['a typo of KEDA', scaled, 'spec.minReplicas', 0, 'has no member spec.minReplicas'],
    ['a wrong type', deployment, 'spec.replicas', 'two', 'replicas'],
    ['a wrong type of KEDA', scaled, 'spec.minReplicaCount', 'none', 'minReplicaCount'],
  ])('%s is refused', (_, manifest, path, value, message) => {
    expect(changed(manifest, path, value).join('\n')).toContain(message);
  });

  it('any label or key of a map is accepted', () => {
    expect(changed(deployment, 'metadata.annotations', { anything: 'yes' })).toEqual([]);
    expect(changed(scaled, 'spec.triggers.0.metadata.other', 'yes')).toEqual([]);
  });
});
