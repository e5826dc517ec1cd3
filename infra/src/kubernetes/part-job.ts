/** An Indexed Job: each of its pods takes one file of lines to the edge as a job, and brings its results. */
import { Job } from 'kubernetes-models/batch/v1';
import { PersistentVolumeClaim } from 'kubernetes-models/v1';
import { SENT_IN_VAIN } from '../offline/exit-codes.ts';
import type { Settings } from '../settings.ts';
import { confined, labelsOf, metadataOf, nameOf, restricted, SECRET } from './pods.ts';

/** Files that are under way at a time: the queue and the workers behind it are what bounds them. */
const MAX_PARALLEL = 10;
const DAY_S = 86_400;

export function partJobOf(settings: Settings) {
  const { image, edgeUrl, parts } = settings;
  return [
    new PersistentVolumeClaim({
      metadata: metadataOf('parts', settings),
      spec: {
        accessModes: ['ReadWriteMany'],
        resources: { requests: { storage: '10Gi' } },
      },
    }),
    new Job({
      metadata: metadataOf('parts', settings),
      spec: {
        // It is made now and begins when the files are there: `kubectl patch job blip2-parts -p '{"spec":{"suspend":false}}'`.
        suspend: true,
        completionMode: 'Indexed',
        completions: parts,
        parallelism: Math.min(parts, MAX_PARALLEL),
        backoffLimitPerIndex: 6,
        maxFailedIndexes: parts,
        ttlSecondsAfterFinished: 7 * DAY_S,
        podFailurePolicy: {
          rules: [
            // A node that went away is not the file's fault.
            {
              action: 'Ignore',
              onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }],
            },
            {
              action: 'FailIndex',
              onExitCodes: { containerName: 'part', operator: 'In', values: [SENT_IN_VAIN] },
            },
          ],
        },
        template: {
          metadata: { labels: labelsOf('parts') },
          spec: restricted({
            restartPolicy: 'Never',
            containers: [
              confined({
                name: 'part',
                image,
                command: ['/usr/local/bin/node', 'infra/src/offline/run-part.ts'],
                env: [
                  { name: 'PARTS_EDGE_URL', value: edgeUrl },
                  { name: 'PARTS_FOLDER', value: '/parts' },
                  {
                    name: 'PARTS_RUN',
                    valueFrom: {
                      fieldRef: {
                        fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']",
                      },
                    },
                  },
                  {
                    name: 'PARTS_KEY',
                    valueFrom: { secretKeyRef: { name: SECRET, key: 'edge-key', optional: true } },
                  },
                ],
                resources: {
                  requests: { cpu: '50m', memory: '256Mi' },
                  limits: { memory: '512Mi' },
                },
                volumeMounts: [{ name: 'parts', mountPath: '/parts' }],
              }),
            ],
            volumes: [{ name: 'parts', persistentVolumeClaim: { claimName: nameOf('parts') } }],
          }),
        },
      },
    }),
  ];
}
