/** `npm run docs`: writes the pages of `docs/` that are made from declarations in the code. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MODEL_PROGRAM } from '@blip2/gpu-worker/cli/program';
import { WORKER_PROGRAM } from '@blip2/gpu-worker/config';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { PART_PROGRAM } from '@blip2/gpu-worker/parts/options';
import { configure } from '@blip2/shared/config/configure';
import { EDGE_OPTIONS } from '../edge/src/config.ts';
import { configurationPage } from './docs/configuration-page.ts';
import { errorsPage } from './docs/errors-page.ts';
import { metricsPage } from './docs/metrics-page.ts';
import { ROOT } from './prepare-edge.ts';
import {
  BENCH,
  CHAOS,
  DEMO,
  DOCS,
  EVAL,
  FUZZ,
  INFRA,
  KEYS,
  LICENSES,
  LOAD,
  PREPARE_EDGE,
  PROVE_JOBS,
  SBOM,
  SCREENSHOT,
  SIMULATE,
  START,
  SYNTHETIC_CHECKPOINT,
} from './programs.ts';

const PROGRAMS = [
  START,
  WORKER_PROGRAM,
  MODEL_PROGRAM,
  PART_PROGRAM,
  KEYS,
  DEMO,
  EVAL,
  BENCH,
  LICENSES,
  SBOM,
  LOAD,
  SIMULATE,
  FUZZ,
  CHAOS,
  PROVE_JOBS,
  INFRA,
  SCREENSHOT,
  SYNTHETIC_CHECKPOINT,
  PREPARE_EDGE,
];

/** Texts by the path in the repository. */
export async function generatedDocs(): Promise<Record<string, string>> {
  return {
    'docs/configuration.md': configurationPage(MODEL_OPTIONS, PROGRAMS, EDGE_OPTIONS),
    'docs/errors.md': errorsPage(),
    'docs/metrics.md': await metricsPage(),
  };
}

if (import.meta.main) {
  configure(DOCS);
  for (const [path, text] of Object.entries(await generatedDocs())) {
    await writeFile(join(ROOT, path), text);
  }
}
