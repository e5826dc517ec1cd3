/**
 * `outside_training.json` of a checkpoint: what tells images that it was trained on from others. Most checkpoints have
 * none.
 */
import { join } from 'node:path';
import { OutsideTraining } from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import { isAbsent } from '../../file-errors.ts';
import { parseOrThrow } from '../config/schema-helpers.ts';
import { CheckpointError } from '../errors.ts';
import { sha256OfFile } from '../revision.ts';
import type { OpenCheckpoint } from './open-checkpoint-types.ts';
import { readJson } from './read-json.ts';

export const OUTSIDE_TRAINING = 'outside_training.json';
const WEIGHTS = 'model.safetensors';
const MAX_BYTES = 1 << 20;

const ClassifierFile = z.extend(OutsideTraining, {
  /** SHA-256 of the weights whose embeddings it classifies. */
  weights_sha256: z.string(),
});

/**
 * The manifest's member; none where the checkpoint has no such file, or an adapter was merged, which changes embeddings.
 * @param hidden width of query embeddings
 * @throws CheckpointError when it is of other weights, or of another width
 */
export async function readOutsideTraining(
  { folder, suffix }: Pick<OpenCheckpoint, 'folder' | 'suffix'>,
  hidden: number,
): Promise<{ outside_training?: OutsideTraining }> {
  if (suffix !== '') return {};
  const path = join(folder, OUTSIDE_TRAINING);
  const json = await readJson(path, null, MAX_BYTES);
  if (json === null) return {};
  const { weights_sha256, ...classifier } = parseOrThrow(ClassifierFile, json, path);
  const weights = await sha256OfFile(join(folder, WEIGHTS)).catch((error) => {
    if (isAbsent(error)) return '';
    throw error;
  });
  const fail = (why: string) =>
    new CheckpointError(
      `${path} ${why}: make it anew (python -m training.pretrain outside), or remove it, and no image is warned about.`,
    );
  if (weights !== weights_sha256) throw fail(`was made for other weights than ${WEIGHTS}`);
  const { length } = classifier.weights;
  if (length !== hidden) throw fail(`has ${length} weights and not ${hidden}, as query embeddings`);
  return { outside_training: classifier };
}
