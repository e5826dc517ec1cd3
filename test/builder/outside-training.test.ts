/** What tells images outside of a checkpoint's training gets into its bundle if it is of its weights; else it stops the build. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { sha256OfFile } from '@blip2/gpu-worker/builder/revision';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readGolden } from '../../tools/eval/goldens.ts';

let root: string;
let checkpoint: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-outside-'));
  checkpoint = join(root, 'tiny');
  await cp(readGolden('tied').checkpoint, checkpoint, { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const build = async () =>
  await readGenerativeManifest(await ensureBundle(checkpoint, { bundles: join(root, 'bundles') }));
const zeros = (count: number): number[] => Array(count).fill(0);

/** Writes such a file, of a width, for the checkpoint's weights. */
async function describeTraining(hidden: number, change: object = {}): Promise<void> {
  const classifier = {
    weights_sha256: await sha256OfFile(join(checkpoint, 'model.safetensors')),
    weights: zeros(hidden),
    threshold: 3,
    ...change,
  };
  await writeFile(join(checkpoint, 'outside_training.json'), JSON.stringify(classifier));
}

it('a bundle has it, and is another one than without it', async () => {
  const before = await build();
  expect(before.outside_training).toBeUndefined();
  await describeTraining(before.qformer_hidden);
  const { outside_training, revision } = await build();
  expect(outside_training).toEqual({ threshold: 3, weights: zeros(before.qformer_hidden) });
  expect(revision).not.toBe(before.revision);
});

it('a file for other weights, of another width, or of no sense is refused by name', async () => {
  const { qformer_hidden: hidden } = await build();
  await describeTraining(hidden, { weights_sha256: '0'.repeat(64) });
  await expect(build()).rejects.toThrow(
    /outside_training\.json was made for other weights.*remove it/,
  );
  await describeTraining(hidden + 1);
  await expect(build()).rejects.toThrow(/weights and not/);
  await describeTraining(hidden, { threshold: '3' });
  await expect(build()).rejects.toThrow(/outside_training\.json: threshold = .3/);
});
