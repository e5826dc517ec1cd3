/** Commands for the repository itself: what is made of it, and what is checked. */
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { choice, text, toggle } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import { SETTINGS } from '../../infra/src/settings.ts';
import { FULL_SIZES } from '../synthetic-checkpoints/checkpoints.ts';

export const SCREENSHOT = {
  command: 'npm run screenshot --',
  summary: 'Takes the image of the page in the README from the running service.',
  options: {
    chromium: option({
      env: 'CHROMIUM_PATH',
      kind: text('PROGRAM'),
      default: '/usr/bin/chromium',
      group: 'Browser',
      help: 'the browser',
    }),
    ...MODEL_OPTIONS,
  },
  family: WORKER_OPTIONS,
};

export const SYNTHETIC_CHECKPOINT = {
  command: 'npm run synthetic-checkpoint --',
  arguments: ['<name>'],
  summary:
    'Writes a checkpoint with the names and shapes of a published one and random bf16 weights, to measure with.',
  details: `Names: ${Object.keys(FULL_SIZES).join(', ')}.

Then:  npm run model -- build .models/random-opt-2.7b
       BLIP2_CHECKPOINT=.models/random-opt-2.7b npm start`,
  options: {
    out: option({
      flag: 'out',
      kind: text('FOLDER'),
      defaultText: '.models/random-<name>',
      group: 'Output',
      help: 'where to; 2 to 25 GB',
    }),
  },
};

const supply = 'Supply chain';

export const SBOM = {
  command: 'npm run sbom --',
  summary:
    'Prints a bill of materials (CycloneDX): every package, on all platforms, and what is compiled into libvips.',
  options: {
    part: option({
      flag: 'part',
      kind: choice('worker', 'edge', 'dev'),
      default: 'worker',
      group: supply,
      help: 'of the GPU worker, of the edge, or of tools, tests and the local edge',
    }),
    out: option({
      flag: 'out',
      kind: text('FILE'),
      defaultText: 'printed',
      group: supply,
      help: 'where to',
    }),
  },
};

export const LICENSES = {
  command: 'npm run licenses --',
  summary:
    'Prints the license of every package and library, and ends with 1 where one is not allowed (tools/supply-chain/license-policy.ts).',
  options: {
    part: option({
      flag: 'part',
      kind: choice('worker', 'edge', 'dev'),
      defaultText: 'all',
      group: supply,
      help: 'of the GPU worker, of the edge, or of tools, tests and the local edge',
    }),
    write: option({
      flag: 'write',
      kind: toggle(),
      default: false,
      group: supply,
      help: 'bring the list in NOTICE up to date',
    }),
  },
};

export const DOCS = {
  command: 'npm run docs --',
  summary: 'Writes the pages of docs/ that are made from declarations in the code.',
  options: {},
};

export const LAYERS = {
  command: 'npm run layers --',
  summary:
    'Names each import that does not go down; tools/layers/layers.ts says what is below what.',
  options: {},
};

export const PREPARE_EDGE = {
  command: 'npm run node -- tools/prepare-edge.ts',
  summary:
    "Writes the model's numbers and tokenizers into edge/generated, as npm run deploy bundles them with the Worker.",
  options: MODEL_OPTIONS,
  family: WORKER_OPTIONS,
};

export const INFRA = {
  command: 'npm run infra --',
  arguments: ['<part>'],
  summary: 'Prints what a deployment consists of, as it is in infra/ with other settings.',
  details: `  kubernetes   manifests, for "kubectl apply -f -"
  haproxy      configuration of the balancer within a cluster
  front        configuration of HAProxy before a service of npm start
  alerts       rules for Prometheus
  dashboard    dashboard for Grafana
  cdk          queues and workers on AWS: synthesizes the stack, prints the folder (docs/deploy.md)
  write        writes all of them into infra/, as they are committed; takes no settings`,
  options: SETTINGS,
};
